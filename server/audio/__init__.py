"""Sound in every form in which it leaves."""
