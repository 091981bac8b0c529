"""`admin serve`: the web page."""

from __future__ import annotations

import click

from gitguard.cli.admin.office import config_of, enter
from gitguard.config.faults import ConfigurationError
from gitguard.message.reasons import Refusal


@click.command()
@click.option("--bind", metavar="HOST:PORT", default="", help="Listen here (default: 127.0.0.1:8321).")
@click.option("--socket", metavar="FILE", default="", help="Listen on this Unix socket instead.")
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
    help="Listen on an address of the network in clear, since a web server with TLS is in front and no one else gets there.",
)
@click.pass_context
def serve(ctx: click.Context, bind: str, socket: str, certificate: str, key: str, behind_proxy: bool) -> None:
    """Serve the web page until stopped; under systemd on the socket that it hands over (docs/web.md)."""
    settings = enter(ctx)
    if not settings.host.web_url:
        raise Refusal(
            "usage",
            text="the page has no address: set web_url in [host], such as https://git.example.com/2fa",
            hint="gitguard admin config edit",
        )
    try:
        from gitguard.web.serving import Listening
        from gitguard.web.serving import serve as serving
    except ModuleNotFoundError as error:
        raise Refusal(
            "not-available",
            text=f"the web page's libraries are not installed ({error.name} is missing)",
            hint="pip install 'gitguard-2fa[web]'",
        ) from None
    listening = Listening(bind, socket, certificate, key, behind_proxy)

    def ready() -> None:
        click.echo(
            f"gitguard: serving {settings.host.web_url} on {listening.place}; Ctrl-C ends it", err=True
        )

    try:
        serving(config_of(ctx), listening, ready)
    except ConfigurationError as error:
        raise Refusal("config-invalid", text=f"{len(error.faults)} faults in {error.path}") from None
