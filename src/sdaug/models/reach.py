"""Whether the hub answers at all, known soon."""

import threading

from sdaug.diffusion.components import WeightsMissing

HUB_DEADLINE_S = 3.0
"""How long the hub may take to answer. The promise to the user is 5 s; the rest is for importing its client."""


def ask_hub(name: str) -> None:
    """`WeightsMissing` unless the hub answers anything at all within `HUB_DEADLINE_S`.

    One request, no retry, in a thread that is left behind: a name look-up takes no time limit of its own.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]  (httpx's or httpx2's)

    outcome: list[str] = []

    def ask() -> None:
        try:
            get_session().head(f"{constants.ENDPOINT}/{name}", timeout=HUB_DEADLINE_S)
            outcome.append("")
        except (HTTPError, OSError) as error:
            outcome.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=ask, name="sdaug-ask-hub", daemon=True)
    thread.start()
    thread.join(HUB_DEADLINE_S)
    problem = outcome[0] if outcome else f"no answer within {HUB_DEADLINE_S:g} s"
    if problem:
        raise WeightsMissing(f"{name} cannot be fetched: the hub ({constants.ENDPOINT}) is not reachable: {problem}")
