"""Where a sweep's kernels run: one after the other here, several at once here, or on a fleet of machines."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

Task = TypeVar("Task")
Done = TypeVar("Done")

RETRIES = 3
"""How often a task is tried elsewhere after the machine it ran on was lost."""


class Executor(Protocol):
    """Runs a function on every task and yields what it returns, as it comes. Neither may hold anything but values."""

    def __call__(self, function: Callable[[Task], Done], tasks: Sequence[Task], /) -> Iterable[Done]: ...


def serial(function: Callable[[Task], Done], tasks: Sequence[Task]) -> Iterator[Done]:
    """One after the other, in this process.

    >>> list(serial(abs, [-1, 2]))
    [1, 2]
    """
    return map(function, tasks)


def loky(function: Callable[[Task], Done], tasks: Sequence[Task], *, jobs: int) -> Iterable[Done]:
    """`jobs` at once in processes of this machine."""
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", n_jobs=jobs):
        run: Any = Parallel(return_as="generator_unordered")  # its type is that of a list
        yield from run(delayed(function)(task) for task in tasks)


def dask(
    function: Callable[[Task], Done], tasks: Sequence[Task], *, scheduler: str, resources: dict[str, float]
) -> Iterable[Done]:
    """On the workers of the Dask scheduler at `scheduler`, each taking what `resources` says it needs.

    A task whose worker is lost is run again elsewhere, up to `RETRIES` times.
    """
    from distributed import Client, as_completed

    with Client(scheduler) as client:
        futures = client.map(function, tasks, resources=resources, retries=RETRIES, pure=False)
        for future in as_completed(futures):
            yield future.result()


def executor(name: str, *, scheduler: str | None = None, jobs: int = 2, resources: Any = None) -> Executor:
    """The executor called `name`: serial, loky or dask. Raises ValueError for another, or one whose option is missing.

    >>> executor("dask")
    Traceback (most recent call last):
    ...
    ValueError: the executor 'dask' needs the address of a scheduler, for example tcp://10.0.0.1:8786
    """
    if name == "serial":
        return serial
    if name == "loky":
        return partial(loky, jobs=jobs)
    if name != "dask":
        raise ValueError(f"unknown executor {name!r}; there are: serial, loky, dask")
    if scheduler is None:
        raise ValueError("the executor 'dask' needs the address of a scheduler, for example tcp://10.0.0.1:8786")
    return partial(dask, scheduler=scheduler, resources=resources or {})
