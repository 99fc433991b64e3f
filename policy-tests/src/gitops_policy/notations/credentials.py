"""Telling credentials from other text: by the shape of known tokens, and by what a name says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

# Issuer: what must stand in the text for the pattern to be worth a try, and the pattern: the
# shapes that the issuers publish.
_SHAPES: tuple[tuple[str, tuple[str, ...], str], ...] = tuple(
    (name, tuple(anchors.split()), pattern)
    for name, anchors, pattern in (
        (
            "AWS access key",
            "A3T AKIA AGPA AIDA AROA AIPA ANPA ANVA ASIA",
            r"\b(?:A3T[A-Z0-9]|AKIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ASIA)[A-Z0-9]{16}\b",
        ),
        ("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[0-9A-Za-z]{36}"),
        ("GitHub token", "github_pat_", r"\bgithub_pat_[0-9A-Za-z_]{60}"),
        ("GitLab token", "glpat-", r"\bglpat-[0-9A-Za-z_-]{20}"),
        ("Slack token", "xox", r"\bxox[abeoprs]-[0-9A-Za-z-]{10}"),
        ("Slack webhook", "hooks.slack.com", r"hooks\.slack\.com/services/T\w+/B\w+/\w+"),
        ("Google API key", "AIza", r"\bAIza[0-9A-Za-z_-]{35}"),
        ("Stripe key", "k_live_ k_test_", r"\b[srp]k_(?:live|test)_[0-9A-Za-z]{10}"),
        ("npm token", "npm_", r"\bnpm_[0-9A-Za-z]{36}\b"),
        ("PyPI token", "pypi-", r"\bpypi-AgEIcHlwaS5vcmc[0-9A-Za-z_-]{20}"),
        ("Hugging Face token", "hf_", r"\bhf_[0-9A-Za-z]{34}"),
        ("SendGrid key", "SG.", r"\bSG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}"),
        ("DigitalOcean token", "_v1_", r"\bdo[opr]_v1_[0-9a-f]{64}\b"),
        ("Terraform token", ".atlasv1.", r"\b[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_=-]{60}"),
        ("Twilio key", "SK", r"\bSK[0-9a-fA-F]{32}\b"),
        ("Vault token", "hvs. hvb.", r"\bhv[bs]\.[0-9A-Za-z_-]{24}"),
        ("New Relic key", "NRJS- NRAK-", r"\b(?:NRJS-[0-9A-Fa-f]{19}|NRAK-[0-9A-Za-z]{27})\b"),
        ("age key", "AGE-SECRET-KEY-1", r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}"),
        ("Azure storage key", "AccountKey=", r"AccountKey=[0-9A-Za-z+/]{86}=="),
        (
            "JSON Web Token",
            ".ey",
            r"\bey[0-9A-Za-z_-]{12,400}\.ey[0-9A-Za-z_-]{12,8000}\.[0-9A-Za-z_-]{10}",
        ),
        ("private key", "PRIVATE", r"-{2,5}BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-{2}"),
        ("bearer token", "earer", r"\b[Bb]earer [0-9A-Za-z._~+/-]{20}"),
        ("kubeconfig key", "client-key-data", r"client-key-data[\"']?: ?[\"']?[0-9A-Za-z+/]{40}"),
    )
)
# Issuers whose tokens say nothing themselves: their name must stand before the value.
_AFTER_NAME = r"[\w\-. \t]{0,20}[\s'\"]{0,3}(?:=>|:=|=|:|>)['\"\s=`]{0,5}"
_NAMED_SHAPES = tuple(
    (name, f"{name}{_AFTER_NAME}(?:{shape})(?![0-9a-z])")
    for name, shape in (
        ("bitbucket", "[0-9a-z]{32}"),
        ("datadog", "[0-9a-z]{40}"),
        ("heroku", "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("launchdarkly", "[0-9a-z=_-]{40}"),
        ("relic", "[0-9a-z]{64}"),
        ("okta", "[0-9a-z=_-]{42}"),
        ("sumo", "[0-9a-z]{14}|[0-9a-z]{64}"),
    )
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/:@?#\"'<>]{0,200}:([^\s/@\"'<>]{1,200})@")

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORD = re.compile(
    r".*(?:passw(?:or)?d|passphrase|secret|credential).*|.*token|passwrd|pword|pswrd"
    r"|bearer|jwt|apikey|accesskey|privatekey"
)
_PASSWORD = re.compile(r".*passw(?:or)?d.*|passphrase|passwrd|pword|pswrd|pwd|pass|pw")
# So short that they mean a password only at the end: not PASS_THROUGH.
_SHORT = frozenset(["pass", "pw", "pwd"])
_KEY_OF = re.compile(
    r"api|access|account|auth|batch|client|deploy|encryption|host|master|private|rsa|secret"
    r"|service|session|shared|signing|ssh|storage"
)
# What a name that ends so holds is about the secret, not the secret.
_ABOUT = re.compile(
    r"files?|filename|paths?|dir|directory|names?|namespace|ref|reference|ids?|ur[li]|endpoint"
    r"|host|port|ttl|seconds|secs|minutes|hours|days|ms|expiry|expires|expiration|timeout|duration"
    r"|interval|age|lifetime|length|size|count|limit|max|min|enabled|disabled|required|type"
    r"|algorithm|alg|issuer|audience|version|prefix|suffix|header|format|policy|mode|provider"
    r"|engine|mount|store|class|rotation|rate|label|annotation|user|username|claim|scopes?|kind"
    r"|env|cookie|field|rules|hash|hashes|pattern|regexp?|template|message|hint|description|threshold"
)
# A reference, a file, an address in a secret store, a switch, code, or YAML that goes on below.
_NOT_LITERAL = re.compile(
    r"""
        \$\(.*\) | \$\{.*\} | \$[A-Za-z_][\w.:-]* | \{\{.*\}\} | <[^<>]+> | %\w+% | %\(.*\)s?
        | (?:\.{0,2}|~)/[\w.@/-]* | [A-Za-z]:\\.* | file:.*
        | (?:vault|op|ref\+\w+|secretref|awssm|gcpsm|azkv|sops):.*
        | arn:aws[\w-]*:(?:secretsmanager|ssm|kms):.* | projects/[^/]+/secrets/.*
        | ENC\[.*\] | https?://[^\s@]*
        | true | false | yes | no | on | off | null | none | nil | enabled | disabled | auto | ~
        | [A-Za-z_][\w.]*[(\[].*
        | [|>&*!{\[(].*
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_ASSIGNMENT = re.compile(
    r"""^[ \t]*(?:-[ \t]+)?(?:export[ \t]+)?["']?([A-Za-z_][\w.-]*)["']?[ \t]*[:=](.*)$""",
    re.MULTILINE,
)
_JSON_PAIR = re.compile(r'"([A-Za-z_][\w.-]{0,80})"\s{0,5}:\s{0,5}"([^"\n]{1,500})"')
_QUOTED = re.compile(r"""(["'])(.*)\1""")
_NUMBER = re.compile(r"[\d.]{1,30}(?:ms|[smhd])?")
_SWITCH = frozenset({"allow", "disable", "enable", "empty", "require", "use"})


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern when it is needed: most runs meet none of the issuers."""
    return re.compile(pattern)


def token(text: str) -> str:
    """Say which issuer's token stands in the text; empty where none does."""
    for issuer, anchors, pattern in _SHAPES:
        if any(anchor in text for anchor in anchors) and _compiled(pattern).search(text):
            return issuer
    lower = text.lower()
    for name, pattern in _NAMED_SHAPES:
        if name in lower and _compiled(pattern).search(lower):
            return f"{name} token"
    if "://" in text and any(_literal(url.group(1)) for url in _URL.finditer(text)):
        return "password in a URL"
    return ""


def names_a_secret(name: str) -> bool:
    """Say whether a field, variable or key of this name holds a credential itself.

    `DB_PASSWORD` does; `PASSWORD_FILE`, `SECRET_NAME` and `TOKEN_TTL_SECONDS` are about one.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    while words and words[-1].isdecimal():
        words.pop()
    if words[-3:] == ["access", "key", "id"] or words[-2:] == ["key", "content"]:
        return True
    if not words or _ABOUT.fullmatch(words[-1]):
        return False
    if words[-1] in ("key", "keys") and (words[0] == "azure" or any(map(_KEY_OF.fullmatch, words))):
        return True
    return words[-1] in _SHORT or any(map(_SECRET_WORD.fullmatch, words))


def credential(name: str, value: str) -> str:
    """Say why the value under this name is a literal credential; empty where it is none."""
    found = token(value)
    if found:
        return f"a {found}"
    if not names_a_secret(name) or not _literal(value):
        return ""
    words = [word.lower() for word in _WORDS.findall(name)]
    switch = not _SWITCH.isdisjoint(words)
    if _NUMBER.fullmatch(value) and (switch or not any(map(_PASSWORD.fullmatch, words))):
        return ""
    return f"the value of {name}"


def credentials_in(text: str, *, program: bool = False) -> Iterator[str]:
    """Yield why a file's text holds credentials: token shapes, and lines `password: value`.

    In a program only quoted text is a value; the rest are expressions.
    """
    found = token(text)
    if found:
        yield f"a {found}"
    for match in _ASSIGNMENT.finditer(text):
        name, value = match[1], match[2].strip().rstrip(",;").strip()
        quoted = _QUOTED.fullmatch(value)
        bare = quoted[2] if quoted else value.partition(" #")[0].strip()
        if (quoted or (not program and len(bare.split()) == 1)) and credential(name, bare):
            yield f"the value of {name}"
    for match in _JSON_PAIR.finditer(text):
        if credential(match[1], match[2]):
            yield f"the value of {match[1]}"


def _literal(value: str) -> bool:
    value = value.strip()
    return bool(value) and _NOT_LITERAL.fullmatch(value) is None
