"""`admin serve`: the web page."""

from __future__ import annotations

import os

import click

from gitguard.cli.admin.context import config_of, enter, open_settings_or_say
from gitguard.config.faults import ConfigurationError
from gitguard.config.schema import Settings
from gitguard.machine.git_account import account, is_account
from gitguard.message.reasons import Refusal


@click.command()
@click.option("--bind", metavar="HOST:PORT", default="", help="Listen here (default: 127.0.0.1:8321).")
@click.option("--socket", metavar="FILE", default="", help="Listen on this Unix socket instead.")
@click.option(
    "--socket-group",
    metavar="GROUP",
    default="",
    help="Who may connect to it (default: the group of the unix:ACCOUNT in trusted_proxies, else the Git account's).",
)
@click.option(
    "--tls-cert", "certificate", metavar="FILE", default="", help="Speak TLS with this certificate (PEM)."
)
@click.option(
    "--tls-key",
    "key",
    metavar="FILE",
    default="",
    help="The certificate's key (PEM), readable by the Git account.",
)
@click.option(
    "--behind-proxy",
    is_flag=True,
    help="Listen on the network unencrypted: a web server with TLS is in front, and no one else can connect.",
)
@click.pass_context
def serve(
    ctx: click.Context,
    bind: str,
    socket: str,
    socket_group: str,
    certificate: str,
    key: str,
    behind_proxy: bool,
) -> None:
    """Serve the web page. Until stopped; under systemd on the socket that it hands over (docs/web.md)."""
    settings = open_settings_or_say(ctx)
    if not settings.host.web_url:
        raise Refusal(
            "usage",
            text="the page has no address: set web_url in [host], such as https://git.example.com/2fa",
            hint="gitguard admin config edit",
        )
    if socket and bind:
        raise Refusal("usage", text="--bind or --socket, not both")
    if socket_group and not socket:
        raise Refusal("usage", text="--socket-group goes with --socket")
    if socket and not os.path.isabs(socket):
        raise Refusal("usage", text="--socket takes an absolute path")
    certificate, key = (path and os.path.abspath(path) for path in (certificate, key))
    os.chdir(
        "/"
    )  # gunicorn goes back to where it was loaded; the account need not be able to enter that folder
    handle = _listen(settings, socket, socket_group) if socket else -1
    enter(ctx, resident=True)
    try:
        from gitguard.web.serving import Listening
        from gitguard.web.serving import serve as serving
    except ModuleNotFoundError as error:
        raise Refusal(
            "not-available",
            text=f"the web page's libraries are not installed ({error.name} is missing)",
            hint="pip install 'gitguard-2fa[web]'",
        ) from None
    listening = Listening(bind, socket, certificate, key, behind_proxy, handle)

    def ready() -> None:
        click.echo(
            f"gitguard: serving {settings.host.web_url} on {listening.place}; Ctrl-C ends it", err=True
        )

    try:
        serving(config_of(ctx), listening, ready)
    except ConfigurationError as error:
        raise Refusal("config-invalid", text=f"{len(error.faults)} faults in {error.path}") from None


def _listen(settings: Settings, path: str, group: str) -> int:
    """The open socket at `path`, made while we may still give it to its group; -1 for whom `enter`
    will send away. Raises Refusal.
    """
    from gitguard.web import unix_socket

    entry = account(settings.keeper)
    if os.geteuid() != 0 and not is_account(entry.pw_name):
        return -1
    number = unix_socket.group_of(group, settings.web.trusted_proxies, entry)
    return unix_socket.listening_on(path, entry, number).detach()
