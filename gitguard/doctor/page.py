"""The web page, as it is configured: who may say who is signed in, and from where a browser comes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from gitguard.config.schema import Settings
from gitguard.doctor.finding import Finding, gap, note, ok

MOST_PROXIES = 16  # in one network that is believed


def _is_wide(network: str) -> bool:
    """Whether more than a few machines lie in it."""
    found = ipaddress.ip_network(network, strict=False)
    return found.num_addresses > MOST_PROXIES


def page_findings(settings: Settings) -> Iterator[Finding]:
    """What `[host] web_url` and `[web]` make of each other."""
    if not settings.host.web_url:
        return
    proxies = [str(proxy) for proxy in settings.web.trusted_proxies]
    addresses = [proxy for proxy in proxies if not proxy.startswith("unix:")]
    if settings.web.trusted_header and addresses:
        yield gap(
            "web-login",
            f"whoever connects from {', '.join(addresses)} can say who is signed in to the web page, other accounts of this machine included",
            "gitguard admin config edit: in [web] trusted_proxies name the web server's account alone, such as unix:www-data",
        )
        return
    if settings.web.trusted_header and not settings.web.login_domains and not settings.aliases:
        yield gap(
            "web-logins",
            f"neither [web] login_domains nor [aliases] name whose logins {settings.web.trusted_header} brings, so one that holds an @ is nobody's",
            'gitguard admin config edit: in [web] write login_domains = ["your.domain"]',
        )
    if settings.web.trusted_header and not proxies:
        yield note(
            "web-login", "[web] trusted_header is believed from nobody, because trusted_proxies is empty"
        )
    local = urlsplit(settings.host.web_url).hostname in ("localhost", "127.0.0.1", "::1")
    if wide := [proxy for proxy in addresses if _is_wide(proxy)]:
        yield note(
            "web-proxies",
            f"whoever connects from {', '.join(wide)} is believed about a browser's address: name the proxies one by one",
            "gitguard admin config edit: in [web] trusted_proxies name the web server in front, such as unix:www-data",
        )
    if not proxies and not local:
        yield gap(
            "web-proxies",
            "the web page knows no browser's address, so it opens no session under scope address and always asks for a request's number",
            "gitguard admin config edit: in [web] trusted_proxies name the web server in front, such as unix:www-data",
        )
        return
    yield ok("web-login", f"the web page is {settings.host.web_url}")
