"""Access tokens: made, shown once, revoked; for admins."""

from __future__ import annotations

import streamlit as st

from tunesmith.schemas.enums import Role
from tunesmith.ui import formats, trouble
from tunesmith.ui.language import _
from tunesmith.ui.markdown import as_it_is
from tunesmith.ui.visitor import session


def panel() -> None:
    """The tokens, and a form for a new one."""
    client = session.client()
    with st.form("token", clear_on_submit=True, border=True):
        left, middle, right = st.columns([3, 2, 1], vertical_alignment="bottom")
        name = left.text_input(_("For whom"), placeholder="maria")
        role = middle.selectbox(_("Role"), list(Role), index=1, format_func=_)
        made = right.form_submit_button(_("Make a token"), type="primary")
    if made:
        with trouble.shown():
            new = client.create_token(name.strip(), str(role))
            st.success(_("This is shown once; give it to {who}.").format(who=as_it_is(new.name)))
            st.code(new.token, language=None)
    found = client.tokens().items
    if not found:
        st.caption(_("There are no tokens yet."))
    for token in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{as_it_is(token.name)}** · {_(token.role)} · `{token.prefix}…`")
            used = formats.ago(token.last_used_at) if token.last_used_at else _("never used")
            st.caption(used)
            if token.revoked_at is not None:
                st.badge(_("revoked"), color="gray")
            elif st.button(_("Revoke"), key=f"revoke-{token.name}", icon=":material/block:"):
                with trouble.shown():
                    client.revoke_token(token.name)
                    st.rerun()
