"""What long commands show of the step they are at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["progress"]


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show steps on stderr, each with the time it took; yields what to call with the name of a step that begins."""
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:

        def end() -> None:
            for task in shown.task_ids:
                shown.update(task, total=1, completed=1)

        def step(text: str) -> None:
            end()
            shown.add_task(text, total=None)

        yield step
        end()
