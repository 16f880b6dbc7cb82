"""The command that serves the live page for a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trialsim.cli.options import OPTIONAL_DESIGN, SET, load, options

if TYPE_CHECKING:
    from trialsim.teach.serve import Address

CLASSROOM = "lessons/designs/classroom.yaml"


@click.command()
@OPTIONAL_DESIGN
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on. 0.0.0.0: the whole network.")
@click.option("--allow-host", "allowed", multiple=True, metavar="NAME", help="Another name the page may be asked for.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes that simulate.")
@click.option("--open/--no-open", "opened", default=False, help="Open the page in a browser.")
@options(SET)
def teach(
    design: str | None,
    port: int,
    host: str,
    allowed: tuple[str, ...],
    workers: int,
    opened: bool,
    overrides: tuple[str, ...],
) -> None:
    """Serve the live page for a class: sliders, lessons, the replay of a trial.

    DESIGN is what the free page is about. Default: a trial of three arms made for the class.
    """
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()
    from trialsim.design.library import library_dir
    from trialsim.teach.serve import serve

    loaded = load(design or str(library_dir() / CLASSROOM), overrides)

    def ready(address: Address) -> None:
        click.echo(f"{loaded.title or loaded.name}\n\n{_about(address)}\nCtrl-C ends it.")
        if opened:
            click.launch(address.url)

    serve(loaded, host=host, port=port, workers=workers, allowed=allowed, ready=ready)
    click.echo("\nThe page is closed.")


def _about(address: Address) -> str:
    """Where it is, and for whom."""
    if address.is_loopback:
        return f"The page: {address.url}\nOnly this computer can open it."
    return (
        f"The page: {address.url}\nAnybody who can reach this computer over the network can open it; there are no "
        "accounts, and what is sent is not encrypted.\nIt is served under these names only: "
        f"{', '.join(address.names)}. Another one: --allow-host NAME"
    )


COMMANDS: tuple[click.Command, ...] = (teach,)
