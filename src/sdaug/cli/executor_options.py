"""Where a command's tasks run: the options that `sweep` and `enrol-folder` share."""

from collections.abc import Callable
from typing import Any

import click


def executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `chosen_executor` takes."""
    for option in reversed(
        [
            click.option("--executor", type=click.Choice(("serial", "loky", "dask")), default="serial",
                         show_default=True,
                         help="One task after the other, several here, or on the workers of a Dask scheduler."),
            click.option("--jobs", type=click.IntRange(1), default=2, show_default=True,
                         help="Tasks at once, of loky."),
            click.option("--scheduler", default=None,
                         help="Address of the Dask scheduler; every worker must see the same files."),
            click.option("--resource", multiple=True,
                         help="What each task takes of a Dask worker; GPU=1 where the tasks want a GPU."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def chosen_executor(
    executor: str,
    jobs: int,
    scheduler: str | None,
    resource: tuple[str, ...],
    gpu: bool,
    after: Callable[[], None] | None = None,
) -> Any:
    """The executor that the options name. gpu: whether the tasks want one; after: of `executors.dask`. Raises
    ValueError."""
    from sdaug import executors
    from sdaug.measure.environment import device_class

    if gpu and executor == "loky" and jobs > 1 and device_class("cuda") != "no GPU":
        raise ValueError(
            f"--jobs {jobs} tasks would share one GPU, and their times and memory would mean nothing; "
            "--jobs 1, or a Dask worker for each GPU with --resource GPU=1"
        )
    wanted = _resources(resource)
    if gpu and executor == "dask":
        wanted = {"GPU": 1.0} | wanted  # of a worker with several threads, too, one task at a time is on its GPU
    return executors.executor(executor, scheduler=scheduler, jobs=jobs, resources=wanted, after=after)


def _resources(given: tuple[str, ...]) -> dict[str, float]:
    """`GPU=1` and the like as Dask takes them; raises ValueError."""
    found = {}
    for text in given:
        name, _, amount = text.partition("=")
        try:
            found[name] = float(amount)
        except ValueError as error:
            raise ValueError(f"--resource {text!r}; expected a name and a number, for example GPU=1") from error
    return found
