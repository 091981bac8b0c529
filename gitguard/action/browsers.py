"""Who is signed in to the web page: by a one-time link, or by a proxy that is believed. No password is kept.

Signed in is the first factor alone; the second is proved in the browser, by the same actions as over SSH.
What a browser's cookie and a link hold is random and stored as a keyed hash; both end with the account.
"""

from __future__ import annotations

import contextlib
import secrets

from msgspec import Struct

from gitguard.action import steps
from gitguard.action.installation import Installation
from gitguard.factor.change import with_proof
from gitguard.factor.person import Person, record
from gitguard.factor.proof import check_person
from gitguard.importers.imported import name_of_login
from gitguard.message.reasons import Refusal, printable
from gitguard.session import budget
from gitguard.session.credential import Credential, credential_of
from gitguard.session.moment import Moment
from gitguard.session.scope import neighbours_of
from gitguard.store.contract import Reading, Writing
from gitguard.store.rows import Browser, SignInLink

LINK_SECONDS = 300
BROWSER_SECONDS = 12 * 3600  # whatever is done with it meanwhile
SEEN_SECONDS = 600
MOST_LINKS = 5  # open at once, of one key
MOST_BROWSERS = 10  # signed in by one key; the oldest of them is signed out, and none of another key's
SIGN_IN = "sign-in"
_TOKEN_BYTES = 32


class Visitor(Struct, frozen=True):
    """A signed-in browser: `person` is who acts with it, now."""

    person: Person
    browser: Browser


class SignedIn(Struct, frozen=True):
    """A browser that has just been signed in; `token` is what its cookie holds. `repr` does not show it."""

    user: str
    token: str

    def __repr__(self) -> str:
        return f"SignedIn({self.user})"


def new_link(installation: Installation, person: Person, moment: Moment) -> str:
    """The token of a link that signs `person` in to the page, once, within `LINK_SECONDS`. Raises Refusal."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    ends_at = moment.at + LINK_SECONDS
    link = SignInLink(person.user, SIGN_IN, person.credential.text, ends_at)
    with installation.store.writing() as tx:
        check_person(tx, person)
        tx.forget_links(moment.at)
        there = tx.links(person.user, link.origin)
        if len(there) >= MOST_LINKS:
            raise Refusal(
                "throttled",
                text=f"{MOST_LINKS} links of this key are open; use one of them, or wait until the oldest expires",
                retry_at=min(one.expires_at for one in there),
            )
        state, by = str(installation.settings.paths.state), person.credential.text
        if (retry_at := budget.retry_at(state, person.user, by, moment.at)) is not None:
            text = f"{budget.MOST} links of this key were made within the hour; use the browser that is signed in"
            raise Refusal("throttled", text=text, retry_at=retry_at)
        tx.put_link(_link_hash(installation, token), link)
        record(tx, "sign-in-link", person, moment)
    return token


def user_of_link(installation: Installation, token: str, moment: Moment) -> str:
    """Whom the link would sign in, without using it up; "" for one that is used, expired or made up."""
    with installation.store.reading() as tx:
        link = tx.link(_link_hash(installation, token))
        return link.user if link is not None and _is_good(tx, link, moment) else ""


def _link_hash(installation: Installation, token: str) -> bytes:
    return installation.keyring.digest("sign-in link", "", token)


def _is_good(tx: Reading, link: SignInLink, moment: Moment) -> bool:
    """Whether it has not expired, and user and credential still stand. MUST: for signing in, nothing else."""
    user = tx.user(link.user)
    return (
        link.purpose == SIGN_IN
        and link.expires_at - LINK_SECONDS <= moment.at < link.expires_at
        and user is not None
        and user.state == "active"
        and tx.owner(credential_of(link.origin)) == link.user
    )


def sign_in_by_link(
    installation: Installation, token: str, address: str, moment: Moment, agent: str = ""
) -> SignedIn:
    """Use up the link and sign in a browser. Raises Refusal("forbidden") for a link that is not good."""
    if user_of_link(installation, token, moment):  # what is made up costs no transaction
        with installation.store.writing() as tx:
            link = tx.take_link(_link_hash(installation, token))
            if link is not None and _is_good(tx, link, moment):
                return _sign_in(
                    installation, tx, link.user, credential_of(link.origin), address, moment, agent
                )
    raise Refusal(
        "forbidden", text="this link was used, or is older than five minutes; get a new one: 2fa web"
    )


def user_of_login(installation: Installation, login: str) -> str:
    """The active user whom a proxy's login names, "" for nobody."""
    name = name_of_login(login, installation.settings.aliases, installation.settings.web.login_domains)
    with installation.store.reading() as tx:
        user = tx.user(name) if name else None
    return name if user is not None and user.state == "active" else ""


def sign_in_by_login(
    installation: Installation, login: str, address: str, moment: Moment, agent: str = ""
) -> SignedIn:
    """Sign in a browser whose proxy says that it is `login`'s. MUST: only for a proxy that
    is believed. Raises Refusal.
    """
    name = user_of_login(installation, login)
    if not name:
        raise Refusal("user-unknown", text=f"nobody here signs in as {printable(login, 64)}")
    origin = Credential("http", name)
    with installation.store.writing() as tx:
        steps.present(tx, name)
        place = f"{origin.text} {neighbours_of(address)}"
        if (
            retry_at := budget.retry_at(str(installation.settings.paths.state), name, place, moment.at)
        ) is not None:
            raise Refusal("throttled", retry_at=retry_at)
        if tx.owner(origin) is None:
            tx.add_credential(origin, name, moment.at)
        return _sign_in(installation, tx, name, origin, address, moment, agent)


def _sign_in(
    installation: Installation,
    tx: Writing,
    user: str,
    origin: Credential,
    address: str,
    moment: Moment,
    agent: str,
) -> SignedIn:
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    credential = _credential(installation, token)
    person = Person(user, credential, address, origin)
    tx.add_browser(
        Browser(credential.text, user, origin.text, address, moment, agent_in_words(agent), moment.at)
    )
    check_person(tx, person)
    others = [
        one for one in tx.browsers(user) if one.origin == origin.text and one.credential != credential.text
    ]
    for old in others[MOST_BROWSERS - 1 :]:
        tx.end_browsers(user, old.credential)
    record(tx, "signed-in", person, moment, origin=origin.text)
    return SignedIn(user, token)


def _credential(installation: Installation, token: str) -> Credential:
    return Credential("web", installation.keyring.digest("browser", "", token).hex()[:40])


def visitor_of(installation: Installation, token: str, address: str, moment: Moment) -> Visitor | None:
    """Who is signed in with what the cookie holds, from `address` now; None for nobody (any more)."""
    with installation.store.reading() as tx:
        browser = tx.browser(_credential(installation, token).text)
        if browser is None or not 0 <= moment.age_of(browser.signed_in) < BROWSER_SECONDS:
            return None
        user, origin = tx.user(browser.user), credential_of(browser.origin)
        if user is None or user.state != "active" or tx.owner(origin) != browser.user:
            return None
    return Visitor(Person(browser.user, credential_of(browser.credential), address, origin), browser)


def sign_out(
    installation: Installation, visitor: Visitor, credential: str, moment: Moment, typed: bytes | None = None
) -> bool:
    """Sign out the visitor's own browser, or another one of theirs; whether it was signed in.

    One that another key signed in needs a live session of this browser or a code.
    Raises Refusal, ProofWanted.
    """
    person = visitor.person

    def change(tx: Writing) -> bool:
        ended = tx.end_browsers(person.user, credential) > 0
        if ended:
            record(tx, "signed-out", person, moment, browser=credential)
        return ended

    with installation.store.reading() as tx:
        other = tx.browser(credential)
    if other is None or other.user != person.user:
        return False
    if other.origin != visitor.browser.origin:
        return with_proof(installation, person, moment, typed, change, at_most_seconds=None)
    with installation.store.writing() as tx:
        return change(tx)


# What a browser says of itself (User-Agent) -> what people call it; the first that fits. Each
# names others that came before.
_NAMES = (("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox", "Firefox"), ("FxiOS", "Firefox"),
          ("CriOS", "Chrome"), ("Chrome", "Chrome"), ("Chromium", "Chromium"), ("Safari", "Safari"))  # fmt: skip
_SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("CrOS", "ChromeOS"),
            ("Mac OS", "macOS"), ("Linux", "Linux"))  # fmt: skip


def agent_in_words(agent: str) -> str:
    """`Firefox, Linux`; "" for what says neither. It is the browser's own word,
    only to tell one's own apart.
    """
    found = [next((word for mark, word in marks if mark in agent[:1000]), "") for marks in (_NAMES, _SYSTEMS)]
    return ", ".join(word for word in found if word)


def see(installation: Installation, visitor: Visitor, moment: Moment) -> None:
    """Note that the browser is here, at most every `SEEN_SECONDS`. A busy store costs only the note."""
    if 0 <= moment.at - visitor.browser.seen_at < SEEN_SECONDS:
        return
    with contextlib.suppress(Refusal), installation.store.writing() as tx:
        tx.see_browser(visitor.browser.credential, moment.at)


def sweep(installation: Installation, moment: Moment) -> None:
    """Forget browsers that were signed in too long ago. What is not swept counts for nothing either."""
    with installation.store.reading() as tx:
        old = [one for one in tx.all_browsers() if not 0 <= moment.age_of(one.signed_in) < BROWSER_SECONDS]
    if old:
        with installation.store.writing() as tx:
            for one in old:
                tx.end_browsers(one.user, one.credential)
