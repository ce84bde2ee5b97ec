"""Where tasks run: one after the other here, several at once here, or on a fleet of machines."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

Task = TypeVar("Task")
Done = TypeVar("Done")

ANSWER_S, WORKERS_S = 10, 60
"""How long a scheduler may take to answer, and a first worker to come."""


class NoWorkers(ValueError):
    """There is nobody to run the tasks."""


class WorkersLost(RuntimeError):
    """Some tasks end whatever process they run in; raised when all the others are done."""

    def __init__(self, tasks: Sequence[Any]) -> None:
        super().__init__("whatever process ran it was killed")
        self.tasks = tasks


class Executor(Protocol):
    """Runs a function on every task and yields what it returns, as it comes. Neither may hold anything but values.

    A task whose process is lost is run again. Raises `WorkersLost` at the end for those that were lost every time.
    """

    def __call__(self, function: Callable[[Task], Done], tasks: Sequence[Task], /) -> Iterable[Done]: ...


def serial(function: Callable[[Task], Done], tasks: Sequence[Task]) -> Iterator[Done]:
    """One after the other, in this process.

    >>> list(serial(abs, [-1, 2]))
    [1, 2]
    """
    return map(function, tasks)


def loky(function: Callable[[Task], Done], tasks: Sequence[Task], *, jobs: int) -> Iterator[Done]:
    """`jobs` at once in processes of this machine.

    All of them end when one is killed. What may have been running then is run again one at a time, which shows the task
    that kills; after that `jobs` at once again.
    """
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    left = dict(enumerate(tasks))
    lost: list[Task] = []
    while left:
        try:
            for number, done in _parallel(function, dict(left), jobs):
                del left[number]
                yield done
        except TerminatedWorkerError:
            for number in list(left)[: 2 * jobs]:
                try:
                    ((_, done),) = _parallel(function, {number: left[number]}, 1)
                    yield done
                except TerminatedWorkerError:
                    lost.append(left[number])
                del left[number]
    if lost:
        raise WorkersLost(lost)


def _parallel(function: Callable[[Task], Done], tasks: dict[int, Task], jobs: int) -> Iterator[tuple[int, Done]]:
    """Each task's number and answer, out of order."""
    from joblib import Parallel, delayed, parallel_config

    # One job would run here, and being killed would end this process.
    with parallel_config(backend="loky", n_jobs=max(jobs, 2)):
        parallel: Any = Parallel  # whose types are those of its defaults
        run = parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=jobs)
        yield from run(delayed(_numbered)(function, number, task) for number, task in tasks.items())


def _numbered(function: Callable[[Task], Done], number: int, task: Task) -> tuple[int, Done]:
    return number, function(task)


def dask(
    function: Callable[[Task], Done],
    tasks: Sequence[Task],
    *,
    scheduler: str,
    resources: dict[str, float],
    after: Callable[[], None] | None = None,
) -> Iterator[Done]:
    """On the workers of the Dask scheduler at `scheduler`, each taking what `resources` says it needs. after: what
    every worker does at the end, for they live on.

    A task whose worker is lost is run again elsewhere, as often as the scheduler allows (three times, unless its
    configuration says otherwise). Raises `NoWorkers` where none there has what is needed.
    """
    from distributed import Client, KilledWorker, as_completed

    try:
        client = Client(scheduler, timeout=ANSWER_S)
    except (OSError, ValueError) as error:
        raise NoWorkers(f"no Dask scheduler answers at {scheduler!r}: {error}") from error
    with client:
        _check_workers(client, scheduler, resources)
        left, running, coming = list(reversed(tasks)), {}, as_completed()
        lost: list[Task] = []

        def hand_out() -> None:
            # No more than can run at once: the scheduler holds a lost worker against every task that waited there too.
            while left and len(running) < max(_places(client, resources), 1):
                future = client.submit(function, left[-1], resources=resources, pure=False)
                running[future.key] = left.pop()
                coming.add(future)

        hand_out()
        for future in coming:
            task = running.pop(future.key)
            if future.status == "error" and isinstance(future.exception(), KilledWorker):
                lost.append(task)
            else:
                yield future.result()
            hand_out()
        if after is not None:
            client.run(after, on_error="ignore")  # a worker that is just starting anew has nothing loaded
    if lost:
        raise WorkersLost(lost)


def _check_workers(client: Any, scheduler: str, resources: dict[str, float]) -> None:
    """A task that no worker can take would wait for ever."""
    from distributed import TimeoutError as TooLate  # on Python 3.10 not the built-in one

    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except TooLate as error:
        raise NoWorkers(f"no worker has come to {scheduler!r} in {WORKERS_S} s; `dask worker` starts one") from error
    if _places(client, resources) == 0:
        offered = [worker["resources"] for worker in client.scheduler_info()["workers"].values()]
        raise NoWorkers(f"no worker of {scheduler!r} offers {resources}; they offer {offered}")


def _places(client: Any, resources: dict[str, float]) -> int:
    """How many tasks the fleet can run at once now."""
    workers = client.scheduler_info()["workers"].values()
    return sum(
        min([worker["nthreads"], *(int(worker["resources"].get(name, 0) // of) for name, of in resources.items())])
        for worker in workers
    )


def executor(
    name: str,
    *,
    scheduler: str | None = None,
    jobs: int = 2,
    resources: Any = None,
    after: Callable[[], None] | None = None,
) -> Executor:
    """The executor called `name`: serial, loky or dask. after: of `dask`. Raises ValueError for another, or one whose
    option is missing.

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
    return partial(dask, scheduler=scheduler, resources=resources or {}, after=after)
