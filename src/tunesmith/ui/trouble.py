"""What a visitor sees when something goes wrong: what it means, what to do, never a traceback."""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from tunesmith.errors import (
    AccessError,
    ConfigError,
    NotFoundError,
    ServiceError,
    StorageError,
    TunesmithError,
    UnauthenticatedError,
)
from tunesmith.ui import localized, navigation
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session

RETRY_SECONDS = 2.0
"""Seconds between two looks whether the service is there again."""

log = logging.getLogger("tunesmith.ui")


def tell(error: Exception) -> bool:
    """Show `error` in place of what could not be shown; always True: it was shown."""
    match error:
        case ServiceError() | StorageError():
            st.error(
                _(
                    "**The service can't be reached.** Nothing is lost; this page goes on by "
                    "itself as soon as the service answers."
                )
                + "\n\n"
                + localized.text(str(error)),
                icon=":material/cloud_off:",
            )
        case NotFoundError():
            st.warning(
                _("**This is not there any more.** It was deleted, or the address is wrong."),
                icon=":material/search_off:",
            )
            navigation.link("experiments", _("To the experiments"))
        case AccessError():
            st.warning(
                f"{_('**This is not allowed.**')} {localized.text(str(error))}",
                icon=":material/lock:",
            )
        case ConfigError():
            for problem in error.problems:
                field = f"{as_it_is(problem.field)}: " if problem.field else ""
                st.error(field + localized.problem(problem), icon=":material/error:")
        case TunesmithError():
            st.error(localized.text(str(error)), icon=":material/error:")
        case _:
            mark = secrets.token_hex(4)
            log.error("mistake %s", mark, exc_info=error)
            st.error(
                _(
                    "**This page made a mistake.** What trains is not touched by it. The log of "
                    "the web page says more under the number {number}."
                ).format(number=mark),
                icon=":material/bug_report:",
            )
    return True


@contextmanager
def shown() -> Iterator[None]:
    """Show what is refused within, and leave the rest of it."""
    try:
        yield
    except TunesmithError as error:
        tell(error)


def live(seconds: float) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """A part of a page that is drawn again every so many `seconds`, whatever goes wrong in between.

    What it shows stays in place while the service can't be reached, and recovers by itself.
    """

    def decorate(draw: Callable[[], None]) -> Callable[[], None]:
        @functools.wraps(draw)
        def safely() -> None:
            session.forget_visitor()
            try:
                draw()
            except UnauthenticatedError:  # the sign-in has ended: the whole page says so, once
                st.rerun()
            except TunesmithError as error:
                tell(error)

        return st.fragment(safely, run_every=seconds)

    return decorate


@st.fragment(run_every=RETRY_SECONDS)
def wait_for_service() -> None:
    """Draw the whole page again once the service answers."""
    try:
        session.client().whoami()
    except ServiceError:
        return
    except TunesmithError:
        pass
    st.rerun()
