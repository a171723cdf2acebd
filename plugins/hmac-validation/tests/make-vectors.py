"""Writes vectors.json. Published examples stand here as their providers print them; the others are made with the provider's
own library where it has one for Python (the packages below, of the versions that each vector names), else from the
documented scheme with Python's hmac.

    pip install stripe slack_sdk standardwebhooks svix twilio line-bot-sdk
    python3 make-vectors.py > vectors.json
"""

import base64, datetime, hashlib, hmac, importlib.metadata, json, sys

NOW = 1_790_000_000  # seconds
KEY = "a key of the provider's console"
BODY = '{"event":"created","text":"gr\u00fc\u00dfe \\u00fc","n":1.50}'
out = []


def mac(key, text, algorithm=hashlib.sha256):
    text = text.encode() if isinstance(text, str) else text
    return hmac.new(key.encode() if isinstance(key, str) else key, text, algorithm).digest()


hexed = lambda *a: mac(*a).hex()
b64 = lambda *a: base64.b64encode(mac(*a)).decode()


def version(package):
    return f"{package} {importlib.metadata.version(package)}"


def add(name, origin, policy, headers, expect="verified", key=KEY, body=BODY, method="POST", path="/hook", now=NOW * 1000):
    if isinstance(policy, str):
        policy = {"provider": policy}
    policy = {"secrets": [{"id": "a", "env": "KEY"}]} | policy
    keys = key if isinstance(key, dict) else {"KEY": key}
    headers = [[k, v] for k, v in (headers.items() if isinstance(headers, dict) else headers)]
    out.append({"name": name, "origin": origin, "policy": policy, "environment": keys, "now": now,
                "request": {"method": method, "path": path, "headers": headers, "body": body}, "expect": expect})


DOC = "the documented scheme, with Python's hmac"

# Plain signatures of the body.
for provider, header, prefix, how, algorithm in [
    ("github", "x-hub-signature-256", "sha256=", hexed, hashlib.sha256),
    ("github_sha1", "x-hub-signature", "sha1=", hexed, hashlib.sha1),
    ("meta", "x-hub-signature-256", "sha256=", hexed, hashlib.sha256),
    ("whatsapp", "x-hub-signature-256", "sha256=", hexed, hashlib.sha256),
    ("intercom", "x-hub-signature", "sha1=", hexed, hashlib.sha1),
    ("dropbox", "x-dropbox-signature", "", hexed, hashlib.sha256),
    ("line", "x-line-signature", "", b64, hashlib.sha256),
    ("shopify", "x-shopify-hmac-sha256", "", b64, hashlib.sha256),
    ("shopify_events", "shopify-hmac-sha256", "", b64, hashlib.sha256),
]:
    good = how(KEY, BODY, algorithm)
    add(f"{provider}", DOC, provider, {header: prefix + good})
    add(f"{provider}: no body", DOC, provider, {header: prefix + how(KEY, "", algorithm)}, body="", method="GET")
    add(f"{provider}: another key", DOC, provider, {header: prefix + how("other", BODY, algorithm)}, "signature_wrong")
    add(f"{provider}: body with a line break", DOC, provider, {header: prefix + good}, "signature_wrong", body=BODY + "\n")
    add(f"{provider}: missing", DOC, provider, {}, "signature_missing")
    add(f"{provider}: empty", DOC, provider, {header: ""}, "signature_missing")
    add(f"{provider}: twice", DOC, provider, [(header, prefix + good), (header, prefix + good)], "signature_repeated")
    add(f"{provider}: joined", DOC, provider, {header: f"{prefix}{good},{prefix}{good}"}, "signature_malformed")
    add(f"{provider}: cut", DOC, provider, {header: prefix + good[:-2]}, "signature_malformed")
    add(f"{provider}: nothing behind the prefix", DOC, provider, {header: prefix or "="}, "signature_malformed")
    if prefix:
        add(f"{provider}: without its prefix", DOC, provider, {header: good}, "signature_version_unknown")
    if how is b64:
        add(f"{provider}: unpadded", DOC, provider, {header: good.rstrip("=")}, "signature_malformed")
        url = base64.urlsafe_b64encode(b"\xff" * 32).decode()
        add(f"{provider}: another alphabet", DOC, provider, {header: url}, "signature_malformed")
    else:
        add(f"{provider}: upper case", DOC, provider, {header: prefix + good.upper()}, "signature_malformed")

add("github: published", "https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries", "github",
    {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
    key="It's a Secret to Everybody", body="Hello, World!")

# Several secrets, and their windows.
two = {"provider": "github", "secrets": [{"id": "old", "env": "OLD"}, {"id": "new", "env": "NEW"}]}
for key in ["old key", "new key"]:
    add(f"github: rotation, {key}", DOC, two, {"x-hub-signature-256": "sha256=" + hexed(key, BODY)}, key={"OLD": "old key", "NEW": "new key"})
day = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
for name, window, expect in [("until now", {"not_after": day}, "no_key"), ("from now", {"not_before": day}, "verified")]:
    add(f"github: a key {name}", DOC, {"provider": "github", "secrets": [{"id": "a", "env": "KEY"} | window]},
        {"x-hub-signature-256": "sha256=" + hexed(KEY, BODY)}, expect)
for form, text in [("hex", b"\x00\xffkey".hex()), ("base64", base64.b64encode(b"\x00\xffkey").decode()), ("base64", base64.urlsafe_b64encode(b"\x00\xffkey").decode().rstrip("="))]:
    add(f"github: the key in {form}", DOC, {"provider": "github", "secrets": [{"id": "a", "env": "KEY", "encoding": form}]},
        {"x-hub-signature-256": "sha256=" + hexed(b"\x00\xffkey", BODY)}, key=text)


shops = {"provider": "github", "tenant": "segment:2", "secrets": [{"id": "a", "env": "A", "tenant": "acme"}, {"id": "b", "env": "B", "tenant": "bolt"}, {"id": "b2", "env": "B2", "tenant": "bolt"}]}
ENV = {"A": "key of acme", "B": "key of bolt", "B2": "next key of bolt"}
for path, key, expect in [("/hooks/acme", "A", "verified"), ("/hooks/bolt?x=/acme", "B", "verified"), ("/hooks/bolt", "B2", "verified"), ("/hooks/bolt", "A", "signature_wrong"),
                          ("/hooks/acme", "B", "signature_wrong"), ("/hooks/nobody", "A", "tenant_unknown"), ("/hooks/", "A", "tenant_unknown"), ("/hooks", "A", "tenant_unknown")]:
    add(f"github: {path} with {key}", DOC, shops, {"x-hub-signature-256": "sha256=" + hexed(ENV[key], BODY)}, expect, key=ENV, path=path)
add("github: a stranger's tenant and an empty key", DOC, shops, {"x-hub-signature-256": "sha256=" + hexed("", BODY)}, "tenant_unknown", key=ENV, path="/hooks/x")
doors = {"provider": "bearer", "tenant": "header:X-Shop", "secrets": [{"id": "a", "env": "A", "tenant": "acme"}, {"id": "b", "env": "B", "tenant": "bolt"}]}
DOORS = {"A": "one", "B": "two"}
for lines, expect in [([("x-shop", "acme")], "verified"), ([("x-shop", "bolt")], "auth_invalid_token"), ([], "tenant_unknown"), ([("x-shop", "acme"), ("x-shop", "bolt")], "tenant_unknown")]:
    add(f"bearer: {lines}", DOC, doors, [("authorization", "Bearer one")] + lines, expect, key=DOORS)


def timed(provider, made, origin, past, future, unit=1, bad_time="x", policy=None):
    """`made(ts, body)` gives the headers of a delivery."""
    policy = policy or provider
    ts = lambda distance: (NOW + distance) * unit
    add(f"{provider}", origin, policy, made(ts(0), BODY))
    add(f"{provider}: no body", origin, policy, made(ts(0), ""), body="")
    add(f"{provider}: as old as may be", origin, policy, made(ts(-past), BODY))
    add(f"{provider}: a second too old", origin, policy, made(ts(-past - 1), BODY), "timestamp_too_old")
    add(f"{provider}: as far ahead as may be", origin, policy, made(ts(future), BODY))
    add(f"{provider}: a second too far ahead", origin, policy, made(ts(future + 1), BODY), "timestamp_in_future")
    add(f"{provider}: another body", origin, policy, made(ts(0), BODY), "signature_wrong", body=BODY + " ")
    for wrong in [f"0{ts(0)}", f"+{ts(0)}", f"-{ts(0)}", f"{ts(0)}.0", "now", f"{ts(0)} 0", f"{ts(0)}e0"]:
        add(f"{provider}: time {wrong}", origin, policy, made(wrong, BODY), "timestamp_malformed")


def stripe(ts, body):
    return {"stripe-signature": f"t={ts},v1={hexed(KEY, f'{ts}.{body}')}"}

timed("stripe", stripe, DOC, 300, 300)
good = stripe(NOW, BODY)["stripe-signature"]
sig = good.split("v1=")[1]
add("stripe: a test-mode signature beside it is passed over", DOC, "stripe", {"stripe-signature": good + ",v0=00"})
add("stripe: the second of two, the first passed over", DOC, "stripe", {"stripe-signature": f"t={NOW},v1={'0' * 64},v1={sig}"})
add("stripe: a malformed one beside it is passed over", DOC, "stripe", {"stripe-signature": f"t={NOW},v1=zz,v1={sig}"})
add("stripe: v0 alone", DOC, "stripe", {"stripe-signature": f"t={NOW},v0={sig}"}, "signature_version_unknown")
add("stripe: two times", DOC, "stripe", {"stripe-signature": f"t={NOW},t={NOW},v1={sig}"}, "timestamp_repeated")
add("stripe: no time", DOC, "stripe", {"stripe-signature": f"v1={sig}"}, "timestamp_missing")
add("stripe: a blank between", DOC, "stripe", {"stripe-signature": f"t={NOW}, v1={sig}"}, "signature_version_unknown")
add("stripe: twice", DOC, "stripe", [("stripe-signature", good)] * 2, "signature_repeated")
add("stripe: the key without its prefix", DOC, "stripe", {"stripe-signature": f"t={NOW},v1={hexed('abc', f'{NOW}.{BODY}')}"}, "signature_wrong", key="whsec_abc")
add("stripe: the prefix is part of the key", DOC, "stripe", {"stripe-signature": f"t={NOW},v1={hexed('whsec_abc', f'{NOW}.{BODY}')}"}, key="whsec_abc")


def paddle(ts, body):
    return {"paddle-signature": f"ts={ts};h1={hexed(KEY, f'{ts}:{body}')}"}

timed("paddle", paddle, DOC, 5, 5)
add("paddle: two signatures, one passed over", DOC, "paddle", {"paddle-signature": f"ts={NOW};h1={'0' * 64};h1={hexed(KEY, f'{NOW}:{BODY}')}"})
add("paddle: a wider tolerance", DOC, {"provider": "paddle", "tolerance": {"past": 60}}, paddle(NOW - 60, BODY))

for provider, signature, time in [("slack", "x-slack-signature", "x-slack-request-timestamp"), ("zoom", "x-zm-signature", "x-zm-request-timestamp")]:
    made = lambda ts, body: {time: str(ts), signature: "v0=" + hexed(KEY, f"v0:{ts}:{body}")}
    timed(provider, made, DOC, 300, 300)
    add(f"{provider}: another version", DOC, provider, {time: str(NOW), signature: "v1=" + hexed(KEY, f"v0:{NOW}:{BODY}")}, "signature_version_unknown")
    add(f"{provider}: no time", DOC, provider, {signature: "v0=" + hexed(KEY, f"v0:{NOW}:{BODY}")}, "timestamp_missing")
    add(f"{provider}: two times", DOC, provider, [(time, str(NOW)), (time, str(NOW)), (signature, "v0=" + hexed(KEY, f"v0:{NOW}:{BODY}"))], "timestamp_repeated")
slack_body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
add("slack: published", "https://docs.slack.dev/authentication/verifying-requests-from-slack", "slack",
    {"x-slack-request-timestamp": "1531420618", "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"},
    key="8f742231b10e8888abcd99yyyzzz85a5", body=slack_body, now=1531420618000)

chatwoot = lambda ts, body: {"x-chatwoot-timestamp": str(ts), "x-chatwoot-signature": "sha256=" + hexed(KEY, f"{ts}.{body}")}
timed("chatwoot", chatwoot, DOC, 300, 300)
# A leading part of the signed body moved into the time.
add("chatwoot: the body's first bytes in the time", DOC, "chatwoot",
    {"x-chatwoot-timestamp": f"{NOW}.1", "x-chatwoot-signature": "sha256=" + hexed(KEY, f"{NOW}.1.{BODY}")}, "timestamp_malformed")

RAW = bytes(range(32))
WHSEC = "whsec_" + base64.b64encode(RAW).decode()
for provider, prefix in [("standard_webhooks", "webhook"), ("svix", "svix")]:
    def standard(ts, body, id="msg_1", sign=None):
        return {f"{prefix}-id": id, f"{prefix}-timestamp": str(ts), f"{prefix}-signature": sign or "v1," + b64(RAW, f"{id}.{ts}.{body}")}
    before = len(out)
    timed(provider, standard, DOC, 300, 300)
    for made in out[before:]:
        made["environment"] = {"KEY": WHSEC}
    good = standard(NOW, BODY)[f"{prefix}-signature"]
    def more(name, headers, expect="verified", **kw):
        add(f"{provider}: {name}", DOC, provider, headers, expect, key=WHSEC, **kw)
    more("the second of two, the first passed over", standard(NOW, BODY, sign="v1," + b64(b"x", b"x") + " " + good))
    more("another version beside it is passed over", standard(NOW, BODY, sign="v1a,abcd " + good))
    more("another version alone", standard(NOW, BODY, sign="v1a" + good[2:]), "signature_version_unknown")
    more("no version", standard(NOW, BODY, sign=good[3:]), "signature_malformed")
    more("unpadded", standard(NOW, BODY, sign=good.rstrip("=")), "signature_malformed")
    more("a dot in the id", standard(NOW, BODY, id="msg.1"), "id_malformed")
    more("no id", {k: v for k, v in standard(NOW, BODY).items() if not k.endswith("-id")}, "id_missing")
    more("two ids", list(standard(NOW, BODY).items()) + [(f"{prefix}-id", "msg_2")], "id_repeated")
    add(f"{provider}: the key without its prefix", DOC, provider, standard(NOW, BODY), key=WHSEC[6:])
add("standard_webhooks: published", "https://github.com/standard-webhooks/standard-webhooks (spec/standard-webhooks.md)", "standard_webhooks",
    {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
    key="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", body='{"test": 2432232314}', now=1614265330000)

iso = lambda at: datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
zendesk = lambda ts, body: {"x-zendesk-webhook-signature-timestamp": ts, "x-zendesk-webhook-signature": b64(KEY, ts + body)}
add("zendesk", DOC, "zendesk", zendesk(iso(NOW), BODY))
add("zendesk: no body", DOC, "zendesk", zendesk(iso(NOW), ""), body="", method="DELETE")
add("zendesk: too old", DOC, "zendesk", zendesk(iso(NOW - 301), BODY), "timestamp_too_old")
add("zendesk: ahead", DOC, "zendesk", zendesk(iso(NOW + 301), BODY), "timestamp_in_future")
add("zendesk: seconds for a time", DOC, "zendesk", zendesk(str(NOW), BODY), "timestamp_malformed")
add("zendesk: the body first", DOC, "zendesk", {"x-zendesk-webhook-signature-timestamp": iso(NOW), "x-zendesk-webhook-signature": b64(KEY, BODY + iso(NOW))}, "signature_wrong")

URL = "https://hooks.example.com"
hubspot = {"provider": "hubspot", "public_url": URL}
def hub(ts, body, path="/hook", method="POST"):
    return {"x-hubspot-request-timestamp": str(ts), "x-hubspot-signature-v3": b64(KEY, f"{method}{URL}{path}{body}{ts}")}
timed("hubspot", hub, DOC, 300, 300, unit=1000, policy=hubspot)
add("hubspot: escapes", DOC, hubspot, hub(NOW * 1000, BODY, "/a%20b?c=d:e/f@g"), path="/a%20b?c=d%3Ae%2Ff%40g")
add("hubspot: another method", DOC, hubspot, hub(NOW * 1000, BODY), "signature_wrong", method="PUT")
add("hubspot: another path", DOC, hubspot, hub(NOW * 1000, BODY), "signature_wrong", path="/hook2")
add("hubspot: seconds", DOC, hubspot, hub(NOW, BODY), "timestamp_too_old")

square = {"provider": "square", "public_url": URL}
add("square", DOC, square, {"x-square-hmacsha256-signature": b64(KEY, URL + "/hook" + BODY)})
add("square: another path", DOC, square, {"x-square-hmacsha256-signature": b64(KEY, URL + "/hook" + BODY)}, "signature_wrong", path="/hook/")
add("square: published", "https://developer.squareup.com/docs/webhooks/step3validate", {"provider": "square", "public_url": "https://example.com"},
    {"x-square-hmacsha256-signature": "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og="}, key="asdf1234", body='{"hello":"world"}', path="/webhook")

add("square: the body's beginning in the URL", DOC, square, {"x-square-hmacsha256-signature": b64(KEY, URL + "/hook" + BODY)}, "head_unreadable",
    path="/hook" + BODY[:10], body=BODY[10:])

pager = {"x-pagerduty-signature": "v1=" + hexed(KEY, BODY)}
add("pagerduty", DOC, "pagerduty", pager)
add("pagerduty: the second of two, the first passed over", DOC, "pagerduty", {"x-pagerduty-signature": "v1=" + "0" * 64 + "," + pager["x-pagerduty-signature"]})
add("pagerduty: another body", DOC, "pagerduty", pager, "signature_wrong", body=BODY + " ")
add("pagerduty: another version", DOC, "pagerduty", {"x-pagerduty-signature": "v2=" + hexed(KEY, BODY)}, "signature_version_unknown")

def linear(stamp, more=""):
    body = f'{{"action":"create",{more}"webhookTimestamp":{stamp}}}'
    return {"headers": {"linear-signature": hexed(KEY, body)}, "body": body}
add("linear", DOC, "linear", **linear(NOW * 1000))
add("linear: a minute old", DOC, "linear", **linear((NOW - 60) * 1000))
for name, stamp, expect in [("too old", (NOW - 61) * 1000, "timestamp_too_old"), ("ahead", (NOW + 61) * 1000, "timestamp_in_future"),
                            ("a text", f'"{NOW * 1000}"', "timestamp_missing"), ("a fraction", f"{NOW}.5", "timestamp_malformed"), ("null", "null", "timestamp_missing")]:
    add(f"linear: {name}", DOC, "linear", expect=expect, **linear(stamp))
add("linear: two times", DOC, "linear", expect="body_malformed", **linear(NOW * 1000, '"webhookTimest\\u0061mp":1,'))
add("linear: another body", DOC, "linear", {"linear-signature": linear(NOW * 1000)["headers"]["linear-signature"]}, "signature_wrong", body=linear(NOW * 1000)["body"] + " ")

def mailgun(ts="1790000000", token="t" * 50, key=KEY, sig=None):
    return json.dumps({"signature": {"timestamp": ts, "token": token, "signature": sig or hexed(key, str(ts) + token)}, "event-data": {"id": "x"}})
add("mailgun", DOC, "mailgun", {}, body=mailgun())
add("mailgun: another token", DOC, "mailgun", {}, "signature_wrong", body=mailgun(token="u" * 50, sig=hexed(KEY, "1790000000" + "t" * 50)))
add("mailgun: no JSON", DOC, "mailgun", {}, "body_malformed", body="{")
add("mailgun: no signature", DOC, "mailgun", {}, "signature_missing", body="{}")
add("mailgun: too old, where the operator says so", DOC, {"provider": "mailgun", "tolerance": {"past": 60}}, {}, "timestamp_too_old", body=mailgun(ts=str(NOW - 61)))

add("mailgun: a digit of the token in the time", DOC, "mailgun", {}, "timestamp_in_future", body=mailgun(ts="17900000005", token="t" * 49, sig=hexed(KEY, "17900000005" + "t" * 49)))

identity = lambda who, hash: json.dumps({"identifier": who, "identifier_hash": hash})
add("chatwoot_identity", DOC, "chatwoot_identity", {}, body=identity("user-7", hexed(KEY, "user-7")))
add("chatwoot_identity: a number", DOC, "chatwoot_identity", {}, body=identity(7, hexed(KEY, "7")))
add("chatwoot_identity: somebody else", DOC, "chatwoot_identity", {}, "signature_wrong", body=identity("user-8", hexed(KEY, "user-7")))
add("chatwoot_identity: nobody", DOC, "chatwoot_identity", {}, "signature_missing", body="{}")
add("chatwoot_identity: two", DOC, "chatwoot_identity", {}, "body_malformed", body='{"identifier": "a", "identifier": "user-7", "identifier_hash": "%s"}' % hexed(KEY, "user-7"))

FORM = {"content-type": "application/x-www-form-urlencoded"}
twilio = {"provider": "twilio", "public_url": "https://mycompany.com"}
published = "Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE"
add("twilio: published", "https://www.twilio.com/docs/usage/security", twilio, FORM | {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}, key="12345", body=published, path="/myapp.php?foo=1&bar=2")
add("twilio: another digit", DOC, twilio, FORM | {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}, "signature_wrong", key="12345", body=published.replace("1234&", "1235&"), path="/myapp.php?foo=1&bar=2")
add("twilio: GET", DOC, twilio, {"x-twilio-signature": b64(KEY, "https://mycompany.com/a?b=c", hashlib.sha1)}, body="", path="/a?b=c", method="GET")
add("twilio: no form", DOC, twilio, FORM | {"x-twilio-signature": b64(KEY, "https://mycompany.com/a", hashlib.sha1)}, "body_malformed", body="a=%zz", path="/a")
sha = hashlib.sha256(BODY.encode()).hexdigest()
add("twilio: JSON", DOC, twilio, {"content-type": "application/json", "x-twilio-signature": b64(KEY, f"https://mycompany.com/a?bodySHA256={sha}", hashlib.sha1)}, path=f"/a?bodySHA256={sha}")
add("twilio: other JSON", DOC, twilio, {"content-type": "application/json", "x-twilio-signature": b64(KEY, f"https://mycompany.com/a?bodySHA256={sha}", hashlib.sha1)}, "body_malformed", path=f"/a?bodySHA256={sha}", body=BODY + " ")
add("twilio: JSON without a hash", DOC, twilio, {"content-type": "application/json", "x-twilio-signature": b64(KEY, "https://mycompany.com/a", hashlib.sha1)}, "body_malformed", path="/a")

# Tokens.
for provider, header, prefix in [("gitlab", "x-gitlab-token", ""), ("telegram", "x-telegram-bot-api-secret-token", ""), ("bearer", "authorization", "Bearer ")]:
    add(provider, DOC, provider, {header: prefix + KEY})
    for name, headers in [("missing", {}), ("empty", {header: prefix}), ("a part", {header: prefix + KEY[:-1]}), ("more", {header: prefix + KEY + "x"}),
                          ("twice", [(header, prefix + KEY)] * 2)]:
        add(f"{provider}: {name}", DOC, provider, headers, "auth_invalid_token")
add("bearer: in lower case", DOC, "bearer", {"authorization": "bearer " + KEY})
add("bearer: another scheme", DOC, "bearer", {"authorization": "Digest " + KEY}, "auth_invalid_token")
basic = lambda text: {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}
add("basic", DOC, "basic", basic("user:pass:word"), key="user:pass:word")
add("basic: another password", DOC, "basic", basic("user:pass"), "auth_invalid_token", key="user:pass:word")
add("basic: no base64", DOC, "basic", {"authorization": "Basic user:pass"}, "auth_invalid_token", key="user:pass")

# Schemes of one's own.
own = lambda algorithm, encoding, how: {"scheme": {"signature": "query:sig", "signed": "{method} {scheme} {host} {path} {header:X-A}|{body}", "algorithm": algorithm, "encoding": encoding}, "public_url": "https://h.example:8443"}
url64 = lambda *a: base64.urlsafe_b64encode(mac(*a)).decode().rstrip("=")
for algorithm, function in [("sha1", hashlib.sha1), ("sha256", hashlib.sha256), ("sha384", hashlib.sha384), ("sha512", hashlib.sha512)]:
    for encoding, how in [("hex", hexed), ("base64url", url64)]:
        signature = how(KEY, f"PUT https h.example:8443 /p v|{BODY}", function)
        policy = own(algorithm, encoding, how)
        add(f"custom: {algorithm} {encoding}", DOC, policy, {"x-a": "v"}, method="PUT", path=f"/p?a=b&sig={signature}")
        add(f"custom: {algorithm} {encoding}: twice", DOC, policy, {"x-a": "v"}, "signature_repeated", method="PUT", path=f"/p?sig={signature}&sig={signature}")
        add(f"custom: {algorithm} {encoding}: a signed header is missing", DOC, policy, {}, "signed_part_missing", method="PUT", path=f"/p?sig={signature}")
        add(f"custom: {algorithm} {encoding}: another header", DOC, policy, {"x-a": "w"}, "signature_wrong", method="PUT", path=f"/p?sig={signature}")

# The providers' own libraries.
try:
    import stripe as lib
    headers = {"stripe-signature": f"t={NOW},v1={lib.WebhookSignature._compute_signature(f'{NOW}.{BODY}', KEY)}"}
    add("stripe: by its library", version("stripe"), "stripe", headers)
except Exception as error:
    print("stripe", error, file=sys.stderr)
try:
    from slack_sdk.signature import SignatureVerifier
    signature = SignatureVerifier(KEY).generate_signature(timestamp=str(NOW), body=BODY)
    add("slack: by its library", version("slack_sdk"), "slack", {"x-slack-request-timestamp": str(NOW), "x-slack-signature": signature})
except Exception as error:
    print("slack", error, file=sys.stderr)
at = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)
for module, package, provider, prefix in [("standardwebhooks", "standardwebhooks", "standard_webhooks", "webhook"), ("svix.webhooks", "svix", "svix", "svix")]:
    try:
        lib = __import__(module, fromlist=["Webhook"]).Webhook(WHSEC)
        headers = {f"{prefix}-id": "msg_2", f"{prefix}-timestamp": str(NOW), f"{prefix}-signature": lib.sign("msg_2", at, BODY)}
        add(f"{provider}: by its library", version(package), provider, headers, key=WHSEC)
    except Exception as error:
        print(provider, error, file=sys.stderr)
try:
    from twilio.request_validator import RequestValidator
    class Form(dict):
        getall = dict.__getitem__

    form = Form({"To": ["+1 800"], "a": ["2", "1", "2"], "Z": ["\u00fc"]})
    signature = RequestValidator(KEY).compute_signature("https://mycompany.com/a?b=c", form)
    add("twilio: by its library", version("twilio"), twilio, FORM | {"x-twilio-signature": signature}, body="To=%2B1+800&a=2&a=1&a=2&Z=%C3%BC", path="/a?b=c")
except Exception as error:
    print("twilio", error, file=sys.stderr)

json.dump(out, sys.stdout, indent=1, ensure_ascii=False)
print()
