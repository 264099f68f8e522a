"""Run scheduled batches: the model runner, the decode queue and its workers, cost profiling."""
