"""A package that registers commands, for the test of the command line."""

import typer


def register(app: typer.Typer) -> None:
    @app.command()
    def greet() -> None:
        typer.echo("hello")
