use std::collections::BTreeMap;

use super::*;
use crate::{
    config::protobuf::tests::write_metadata,
    filter::{Exchange, Filter},
    host::{Clock, CounterId, Level},
    verdict::Verdict,
};

fields! {
    #[derive(Debug)]
    struct Color {
        color: String,
        mode: Mode = default,
    }
}

const PAINTED: Reason = Reason("painted");

impl Policy for Color {
    type Settings = NoSettings;

    const FILTER: &'static str = "paint";
    const REASONS: &'static [Reason] = &[PAINTED];
    const OVERRIDABLE: &'static [&'static str] = &["color", "mode"];

    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let color: Self = value.typed()?;
        if color.color == "mud" { Err(ConfigError::new("mud is no color").under("color")) } else { Ok(color) }
    }

    fn mode(&self) -> Mode {
        self.mode
    }
}

/// A proxy whose route can be set.
#[derive(Default)]
struct Proxy {
    route: BTreeMap<&'static str, Vec<u8>>,
    counters: Vec<(String, u32)>,
    record: Option<String>,
    log: Vec<String>,
}

impl Clock for Proxy {
    fn now(&mut self) -> u64 {
        0
    }
}

impl Host for Proxy {
    fn route(&mut self, property: RouteProperty) -> Vec<u8> {
        let key = match property {
            RouteProperty::RouteName => "route",
            RouteProperty::VirtualHostName => "virtual host",
            RouteProperty::RouteMetadata => "route metadata",
            RouteProperty::VirtualHostMetadata => "virtual host metadata",
        };
        self.route.get(key).cloned().unwrap_or_default()
    }

    fn define_counter(&mut self, name: &str) -> CounterId {
        self.counters.push((name.into(), 0));
        CounterId(u32::try_from(self.counters.len() - 1).unwrap())
    }

    fn increment(&mut self, CounterId(counter): CounterId) {
        self.counters[counter as usize].1 += 1;
    }

    fn leave_record(&mut self, name: &str, record: &str) {
        assert_eq!(name, "portcullis_paint");
        self.record = Some(record.into());
    }

    fn log(&mut self, _: Level, line: &str) {
        self.log.push(line.into());
    }
}

impl Proxy {
    fn count(&self, ending: &str) -> u32 {
        self.counters.iter().filter(|(name, _)| name.ends_with(ending)).map(|(_, count)| count).sum()
    }

    fn set(&mut self, place: &'static str, namespace: &str, fields: &[(&str, Value)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        self.route.insert(place, write_metadata(&[("envoy.lb", Value::Map(vec![])), (namespace, Value::Map(fields))]));
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

struct Edge {
    proxy: Proxy,
    filter: Filter<Color>,
}

/// What becomes of a request: the color, or the reason of its refusal.
#[derive(Debug, PartialEq)]
enum Seen {
    Color(String),
    Nothing,
    Refused(String),
}

const POLICIES: &str =
    r#""policies": {"red": {"color": "red"}, "blue": {"color": "blue"}, "off": {"color": "x", "mode": "off"}}"#;

impl Edge {
    fn new(rest: &str) -> Self {
        let mut proxy = Proxy::default();
        let configuration = format!("{{{POLICIES}{}{rest}}}", if rest.is_empty() { "" } else { "," });
        let filter = Filter::configure(&mut proxy, configuration.as_bytes()).unwrap();
        Self { proxy, filter }
    }

    fn request(&mut self, head: &RequestHead, meanwhile: impl FnOnce(&mut Proxy)) -> Seen {
        let mut exchange = Exchange::default();
        let head = self.filter.reads_request_head().then_some(head);
        if let Some(reply) = self.filter.on_request(&mut self.proxy, &mut exchange, head) {
            assert_eq!(reply.status, 503);
            return Seen::Refused(reply.details);
        }
        meanwhile(&mut self.proxy);
        match self.filter.policy(&mut self.proxy, &mut exchange) {
            Err(reply) => Seen::Refused(reply.details),
            Ok(None) => Seen::Nothing,
            Ok(Some(named)) => match self.filter.settle(&mut self.proxy, &named, PAINTED, Verdict::Hold) {
                Verdict::Pass => Seen::Nothing,
                _ => Seen::Color(named.policy.color.clone()),
            },
        }
    }

    fn get(&mut self) -> Seen {
        self.request(&RequestHead::default(), |_| {})
    }
}

fn color(color: &str) -> Seen {
    Seen::Color(color.into())
}

fn refused(code: &str) -> Seen {
    Seen::Refused(format!("paint.{code}"))
}

const OURS: &str = "portcullis.paint";

#[test]
fn the_route_speaks_before_the_virtual_host_and_that_before_the_default() {
    let mut edge = Edge::new(r#""default_policy": "red""#);
    assert_eq!(edge.get(), color("red"));
    edge.proxy.set("virtual host metadata", OURS, &[("policy", text("blue"))]);
    assert_eq!(edge.get(), color("blue"));
    edge.proxy.set("route metadata", OURS, &[("policy", text("red"))]);
    assert_eq!(edge.get(), color("red"));
    assert_eq!(edge.proxy.record.as_deref(), Some("policy=red mode=enforce reason=paint.painted"));
    assert_eq!(edge.proxy.count("policy.red.mode.enforce.reason.painted"), 2);
}

#[test]
fn without_a_choice_nothing_is_done_and_that_is_counted() {
    let mut edge = Edge::new("");
    assert_eq!(edge.get(), Seen::Nothing);
    assert_eq!(edge.proxy.record.as_deref(), Some("policy=none mode=enforce reason=paint.no_policy"));
    assert_eq!(edge.proxy.count("no_policy"), 1);
}

#[test]
fn a_required_policy_that_nothing_chooses_refuses_and_so_does_a_misspelt_namespace() {
    let mut edge = Edge::new(r#""require_policy": true"#);
    assert_eq!(edge.get(), refused("policy_required"));
    edge.proxy.set("route metadata", "portcullis.pain", &[("policy", text("red"))]);
    assert_eq!(edge.get(), refused("policy_required"));
    edge.proxy.set("route metadata", OURS, &[("policy", text("red"))]);
    assert_eq!(edge.get(), color("red"));
}

#[test]
fn an_unknown_policy_never_opens() {
    for (rest, expected) in [
        ("", refused("policy_unknown")),
        (r#""default_policy": "red""#, color("red")),
        (r#""default_policy": "red", "require_policy": true"#, refused("policy_unknown")),
    ] {
        let mut edge = Edge::new(rest);
        edge.proxy.set("route metadata", OURS, &[("policy", text("bleu"))]);
        assert_eq!(edge.get(), expected, "{rest}");
        assert_eq!(edge.get(), expected, "{rest}");
        assert_eq!(edge.proxy.count("policy_unknown"), 2);
        assert_eq!(edge.proxy.log, [r#"metadata portcullis.paint: policy: no policy is called `bleu`"#]);
    }
}

#[test]
fn a_field_is_changed_only_where_it_is_listed() {
    let mut edge = Edge::new(r#""default_policy": "red", "overridable": ["color"]"#);
    edge.proxy.set("route metadata", OURS, &[("policy", text("blue")), ("color", text("green"))]);
    assert_eq!(edge.get(), color("green"));
    edge.proxy.set("route metadata", OURS, &[("color", text("pink"))]);
    assert_eq!(edge.get(), color("pink"));
    for fields in [
        &[("mode", text("shadow"))][..],
        &[("colour", text("pink"))],
        &[("color", text("mud"))],
        &[("color", Value::Null)],
        &[("policy", Value::List(vec![]))],
    ] {
        edge.proxy.set("route metadata", OURS, fields);
        assert_eq!(edge.get(), refused("override_invalid"), "{fields:?}");
    }
    assert!(edge.proxy.log.iter().any(|line| line.ends_with("color: mud is no color")), "{:?}", edge.proxy.log);
    assert!(edge.proxy.log.iter().any(|line| line.contains("colour: no such field; did you mean `color`?")));
    assert!(edge.proxy.log.iter().any(|line| line.contains("mode: isn't overridable")));
}

#[test]
fn metadata_may_shadow_where_listed_but_never_switch_off() {
    let mut edge = Edge::new(r#""default_policy": "red", "overridable": ["mode"]"#);
    edge.proxy.set("route metadata", OURS, &[("mode", text("shadow"))]);
    assert_eq!(edge.get(), Seen::Nothing);
    assert_eq!(edge.proxy.record.as_deref(), Some("policy=red mode=shadow reason=paint.painted"));
    assert_eq!(edge.proxy.count("policy.red.mode.shadow.reason.painted"), 1);
    for off in [text("off"), Value::Bool(false)] {
        edge.proxy.set("route metadata", OURS, &[("mode", off)]);
        assert_eq!(edge.get(), refused("override_invalid"));
    }
    edge.proxy.set("route metadata", OURS, &[("policy", text("off"))]);
    assert_eq!(edge.get(), Seen::Nothing);
}

#[test]
fn a_route_that_changes_after_the_choice_is_counted_and_refused_where_a_policy_is_required() {
    let reroute = |proxy: &mut Proxy| proxy.set("route metadata", OURS, &[("policy", text("blue"))]);
    let any = RequestHead { path: b"/x".to_vec(), ..RequestHead::default() };
    let early = r#""default_policy": "red", "routes": [{"match": {"path_template": "/x"}, "policy": "off"}]"#;
    for (rest, expected, counted) in [
        (r#""default_policy": "red""#, color("blue"), 0),
        (r#""default_policy": "red", "require_policy": true"#, refused("route_changed"), 1),
        (early, Seen::Nothing, 1),
    ] {
        let mut edge = Edge::new(rest);
        assert_eq!(edge.request(&any, reroute), expected, "{rest}");
        assert_eq!(edge.proxy.count("route_changed"), counted, "{rest}");
    }
}

#[test]
fn rules_choose_by_everything_that_can_be_seen_of_a_request() {
    let mut edge = Edge::new(
        r#""default_policy": "red", "routes": [
            {"match": {"method": "POST", "host": "*.example", "path_template": "/api/:id"}, "policy": "blue"},
            {"match": {"route_name": "blue-route"}, "policy": "blue"},
            {"match": {"virtual_host_name": "v", "host": "v.example"}, "policy": "blue"}]"#,
    );
    let head = |method: &str, authority: &str, path: &str| RequestHead {
        method: method.into(),
        authority: authority.into(),
        path: path.into(),
        ..RequestHead::default()
    };
    assert_eq!(edge.request(&head("POST", "a.example:80", "/api/1?x"), |_| {}), color("blue"));
    assert_eq!(edge.request(&head("GET", "a.example:80", "/api/1?x"), |_| {}), color("red"));
    assert_eq!(edge.request(&head("POST", "a.test", "/api/1?x"), |_| {}), color("red"));
    edge.proxy.route.insert("virtual host", b"v".to_vec());
    assert_eq!(edge.request(&head("GET", "v.example", "/"), |_| {}), color("blue"));
    edge.proxy.route.insert("route", b"blue-route".to_vec());
    assert_eq!(edge.request(&head("GET", "x.test", "/"), |_| {}), color("blue"));
}

#[test]
fn an_ambiguous_path_is_refused_where_rules_match_on_paths_whatever_the_default() {
    let routes = r#""routes": [{"match": {"path_template": "/login"}, "policy": "blue"}]"#;
    let twisted = RequestHead { path: b"/x/../login".to_vec(), authority: b"a".to_vec(), ..RequestHead::default() };
    for default in ["", r#""default_policy": "red","#] {
        let mut edge = Edge::new(&format!("{default}{routes}"));
        assert_eq!(edge.request(&twisted, |_| {}), refused("request_ambiguous"));
        assert_eq!(edge.proxy.count("request_ambiguous"), 1);
    }
}

#[test]
fn with_per_route_off_metadata_is_not_read() {
    let mut edge = Edge::new(r#""default_policy": "red", "per_route": "off""#);
    edge.proxy.set("route metadata", OURS, &[("policy", text("blue"))]);
    assert_eq!(edge.get(), color("red"));
}

#[test]
fn the_memory_of_metadata_is_bounded() {
    let mut edge = Edge::new(r#""default_policy": "red""#);
    let (mut policies, _) = Policies::<Color>::from_value(config_value(r#""default_policy": "red""#)).unwrap();
    for round in 0..10_000 {
        edge.proxy.set("route metadata", OURS, &[("policy", text(&format!("p{round}")))]);
        policies.choose(&mut edge.proxy, &HeadMatches::default());
    }
    assert!(policies.cache.len() <= 256);
}

#[test]
fn malformed_or_oversized_metadata_is_refused() {
    let mut edge = Edge::new(r#""default_policy": "red""#);
    edge.proxy.route.insert("route metadata", vec![0xff; 9]);
    assert_eq!(edge.get(), refused("override_invalid"));
    edge.proxy.set("route metadata", OURS, &[("policy", text(&"x".repeat(17 << 10)))]);
    assert_eq!(edge.get(), refused("override_invalid"));
}

#[test]
fn a_namespace_that_is_meant_and_missed_is_refused_and_the_log_says_how_to_spell_it() {
    let mut edge = Edge::new(r#""default_policy": "red""#);
    edge.proxy.set("virtual host metadata", "Portcullis.paint", &[("policy", text("blue"))]);
    assert_eq!(edge.get(), refused("override_invalid"));
    let [line] = &edge.proxy.log[..] else { panic!("{:?}", edge.proxy.log) };
    assert!(line.starts_with("metadata portcullis.paint: is spelt otherwise"), "{line}");
}

#[test]
fn a_flood_of_wrong_metadata_writes_few_lines_and_counts_the_rest() {
    let mut edge = Edge::new(r#""default_policy": "red""#);
    for round in 0..100 {
        edge.proxy.set("route metadata", OURS, &[("policy", text(&format!("p{round}")))]);
        edge.get();
    }
    assert_eq!(edge.proxy.log.len(), 10);
    assert_eq!(edge.proxy.count("log_lines_dropped.filter.paint"), 90);
}

fn config_value(rest: &str) -> Value {
    crate::config::read(format!("{{{POLICIES}, {rest}}}").as_bytes()).unwrap()
}

#[test]
fn mistakes_are_refused_at_load_with_their_path() {
    for (configuration, error) in [
        ("{}", "the field `policies` is missing"),
        (r#"{"policies": {}}"#, "policies: no policies: name at least one"),
        (r#"{"policies": {"a": {"color": "mud"}}}"#, "policies.a.color: mud is no color"),
        (r#"{"policies": {"a.b": {"color": "x"}}}"#, "policies.a.b: a policy's name is 1 to 64 letters"),
        (r#"{"policies": {"none": {"color": "x"}}}"#, "policies.none: a policy's name is"),
        (
            r#"{"policies": {"web": {"color": "x"}}, "default_policy": "wbe"}"#,
            "default_policy: no policy is called `wbe`",
        ),
        (r#"{"policies": {"a": {"color": "x"}}, "defaut_policy": "a"}"#, "did you mean `default_policy`?"),
        (
            r#"{"policies": {"a": {"color": "x"}}, "overridable": ["colour"]}"#,
            "overridable[0]: `colour` can't be overridable; did you mean `color`?",
        ),
        (
            r#"{"policies": {"a": {"color": "x"}}, "overridable": ["color"], "per_route": false}"#,
            "overridable: has no effect",
        ),
        (
            r#"{"policies": {"a": {"color": "x"}}, "routes": [{"match": {}, "policy": "a"}]}"#,
            "routes[0].match: no condition",
        ),
        (
            r#"{"policies": {"a": {"color": "x"}}, "routes": [{"match": {"host": "a/b"}, "policy": "a"}]}"#,
            "routes[0].match.host",
        ),
        (
            r#"{"policies": {"a": {"color": "x"}}, "routes": [{"match": {"path_template": "x"}, "policy": "a"}]}"#,
            "routes[0].match.path_template",
        ),
        (
            r#"{"policies": {"a": {"color": "x"}}, "routes": [{"match": {"method": "GET"}, "policy": "b"}]}"#,
            "routes[0].policy: no policy is called `b`",
        ),
    ] {
        let found = Policies::<Color>::from_value(crate::config::read(configuration.as_bytes()).unwrap())
            .unwrap_err()
            .to_string();
        assert!(found.contains(error), "{configuration}\n  gives    {found}\n  expected {error}");
    }
}
