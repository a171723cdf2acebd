//! Expression → value.
//!
//! 1. Numbers of all kinds compare with each other; values of unlike kinds are unequal, and have no order.
//! 2. `&&` and `||` need one side only where that decides, and an error on the other side is no matter.
//! 3. What a filter set is bytes, what Envoy knows is text; the two are never equal.

use std::cmp::Ordering;

use super::{Expression, Literal, Operator, Test};
use crate::world::value::Value;

#[derive(Clone, Debug, PartialEq)]
pub enum Cel {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    /// A point or a span of time.
    Time(u64),
    List(Vec<Cel>),
    /// What an attribute holds that is made of parts.
    Parts(Value),
}

/// An error of the expression; Envoy tells the filter no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

type Evaluated = Result<Cel, Failed>;

/// Attributes of the proxy's own; every other name is what a filter set.
const OWN: [&str; 13] = [
    "request",
    "response",
    "source",
    "destination",
    "upstream",
    "connection",
    "connection_id",
    "metadata",
    "xds",
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id",
    "filter_state",
];
const TIMES: [&str; 3] = ["time", "duration", "backend_latency"];

impl Expression {
    /// `attribute` gives the value of a name.
    pub fn evaluate(&self, attribute: &dyn Fn(&str) -> Option<Value>) -> Evaluated {
        match self {
            Self::Literal(literal) => Ok(literal.value()),
            Self::List(list) => {
                list.iter().map(|part| part.evaluate(attribute)).collect::<Result<_, _>>().map(Cel::List)
            }
            Self::Name(_) | Self::Field(..) => {
                let (root, leaf) = self.ends();
                self.found(attribute).map(|value| plain(value, root, leaf))
            }
            Self::Index(of, key) => {
                let key = key.evaluate(attribute)?;
                if let (Ok(Cel::List(list)), Cel::Int(place)) = (of.evaluate(attribute), &key) {
                    let place = usize::try_from(*place).map_err(|_| Failed)?;
                    return list.get(place).cloned().ok_or(Failed);
                }
                let Cel::Text(name) = key else { return Err(Failed) };
                let (root, _) = self.ends();
                let leaf = String::from_utf8_lossy(&name).into_owned();
                of.found(attribute)?.field(&name).map(|value| plain(value, root, &leaf)).ok_or(Failed)
            }
            Self::Has(of, name) => Ok(Cel::Bool(of.found(attribute)?.field(name.as_bytes()).is_some())),
            Self::Not(of) => match of.evaluate(attribute)? {
                Cel::Bool(value) => Ok(Cel::Bool(!value)),
                _ => Err(Failed),
            },
            Self::Negative(of) => match of.evaluate(attribute)? {
                Cel::Int(number) => number.checked_neg().map(Cel::Int).ok_or(Failed),
                Cel::Double(number) => Ok(Cel::Double(-number)),
                _ => Err(Failed),
            },
            Self::Binary(Operator::And, a, b) => both(a.evaluate(attribute), b.evaluate(attribute), false),
            Self::Binary(Operator::Or, a, b) => both(a.evaluate(attribute), b.evaluate(attribute), true),
            Self::Binary(operator, a, b) => operate(*operator, a.evaluate(attribute)?, b.evaluate(attribute)?),
            Self::Choice(parts) => {
                let [condition, yes, no] = &**parts;
                match condition.evaluate(attribute)? {
                    Cel::Bool(true) => yes.evaluate(attribute),
                    Cel::Bool(false) => no.evaluate(attribute),
                    _ => Err(Failed),
                }
            }
            Self::Size(of) => size(&of.evaluate(attribute)?),
            Self::Text(test, of, argument) => match (of.evaluate(attribute)?, argument.evaluate(attribute)?) {
                (Cel::Text(text), Cel::Text(part)) => Ok(Cel::Bool(test.holds(&text, &part))),
                _ => Err(Failed),
            },
        }
    }

    /// The value of an attribute, with its parts.
    fn found(&self, attribute: &dyn Fn(&str) -> Option<Value>) -> Result<Value, Failed> {
        match self {
            Self::Name(name) => attribute(name).ok_or(Failed),
            Self::Field(of, name) => of.found(attribute)?.field(name.as_bytes()).ok_or(Failed),
            Self::Index(of, key) => match key.evaluate(attribute)? {
                Cel::Text(name) => of.found(attribute)?.field(&name).ok_or(Failed),
                _ => Err(Failed),
            },
            _ => Err(Failed),
        }
    }

    /// The first and the last name of a path.
    fn ends(&self) -> (&str, &str) {
        match self {
            Self::Name(name) => (name, name),
            Self::Field(of, name) => (of.ends().0, name),
            Self::Index(of, _) => (of.ends().0, ""),
            _ => ("", ""),
        }
    }

    /// A path of attributes, joined by NUL; `None` where it is more than that.
    pub fn path(&self) -> Option<Vec<u8>> {
        let (of, name) = match self {
            Self::Name(name) => return Some(name.clone().into_bytes()),
            Self::Field(of, name) => (of, name.as_bytes()),
            Self::Index(of, key) => match &**key {
                Self::Literal(Literal::Text(name)) => (of, name.as_slice()),
                _ => return None,
            },
            _ => return None,
        };
        Some([&of.path()?, [0].as_slice(), name].concat())
    }
}

impl Literal {
    fn value(&self) -> Cel {
        match self {
            Self::Null => Cel::Null,
            Self::Bool(value) => Cel::Bool(*value),
            Self::Int(number) => Cel::Int(*number),
            Self::Uint(number) => Cel::Uint(*number),
            Self::Double(number) => Cel::Double(*number),
            Self::Text(text) => Cel::Text(text.clone()),
            Self::Bytes(bytes) => Cel::Bytes(bytes.clone()),
        }
    }
}

impl Test {
    fn holds(self, text: &[u8], part: &[u8]) -> bool {
        match self {
            Self::StartsWith => text.starts_with(part),
            Self::EndsWith => text.ends_with(part),
            Self::Contains => part.is_empty() || text.windows(part.len()).any(|window| window == part),
        }
    }
}

impl From<Cel> for Value {
    fn from(value: Cel) -> Self {
        match value {
            Cel::Null => Self::Null,
            Cel::Bool(value) => Self::Bool(value),
            Cel::Int(number) => Self::Integer(number.cast_unsigned()),
            Cel::Uint(number) | Cel::Time(number) => Self::Integer(number),
            Cel::Double(number) => Self::Double(number),
            Cel::Text(bytes) | Cel::Bytes(bytes) => Self::Bytes(bytes),
            Cel::List(list) => Self::List(list.into_iter().map(Self::from).collect()),
            Cel::Parts(value) => value,
        }
    }
}

fn plain(value: Value, root: &str, leaf: &str) -> Cel {
    match value {
        Value::Bytes(bytes) if OWN.contains(&root) => Cel::Text(bytes),
        Value::Bytes(bytes) => Cel::Bytes(bytes),
        Value::Integer(number) if TIMES.contains(&leaf) => Cel::Time(number),
        Value::Integer(number) if root == "connection_id" || leaf == "id" => Cel::Uint(number),
        Value::Integer(number) => Cel::Int(number.cast_signed()),
        Value::Double(number) => Cel::Double(number),
        Value::Bool(value) => Cel::Bool(value),
        Value::Null => Cel::Null,
        parts => Cel::Parts(parts),
    }
}

/// `decides`: the value of one side that makes the other no matter.
fn both(a: Evaluated, b: Evaluated, decides: bool) -> Evaluated {
    let decided = Ok(Cel::Bool(decides));
    if a == decided || b == decided {
        return decided;
    }
    match (a?, b?) {
        (Cel::Bool(_), Cel::Bool(_)) => Ok(Cel::Bool(!decides)),
        _ => Err(Failed),
    }
}

fn operate(operator: Operator, a: Cel, b: Cel) -> Evaluated {
    let ordered =
        |holds: fn(Ordering) -> bool| order(&a, &b)?.map_or(Ok(Cel::Bool(false)), |o| Ok(Cel::Bool(holds(o))));
    match operator {
        Operator::Equal => Ok(Cel::Bool(equal(&a, &b))),
        Operator::Unequal => Ok(Cel::Bool(!equal(&a, &b))),
        Operator::Less => ordered(Ordering::is_lt),
        Operator::LessOrEqual => ordered(Ordering::is_le),
        Operator::Greater => ordered(Ordering::is_gt),
        Operator::GreaterOrEqual => ordered(Ordering::is_ge),
        Operator::In => match (a, b) {
            (a, Cel::List(list)) => Ok(Cel::Bool(list.iter().any(|part| equal(&a, part)))),
            (Cel::Text(name), Cel::Parts(parts @ (Value::Map(_) | Value::Headers(_)))) => {
                Ok(Cel::Bool(parts.field(&name).is_some()))
            }
            _ => Err(Failed),
        },
        _ => calculate(operator, a, b),
    }
}

fn calculate(operator: Operator, a: Cel, b: Cel) -> Evaluated {
    match (a, b) {
        (Cel::Int(a), Cel::Int(b)) => match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::Divide => a.checked_div(b),
            _ => a.checked_rem(b),
        }
        .map(Cel::Int)
        .ok_or(Failed),
        (Cel::Uint(a), Cel::Uint(b)) => match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::Divide => a.checked_div(b),
            _ => a.checked_rem(b),
        }
        .map(Cel::Uint)
        .ok_or(Failed),
        (Cel::Double(a), Cel::Double(b)) => Ok(Cel::Double(match operator {
            Operator::Add => a + b,
            Operator::Subtract => a - b,
            Operator::Multiply => a * b,
            Operator::Divide => a / b,
            _ => return Err(Failed),
        })),
        (Cel::Text(a), Cel::Text(b)) if operator == Operator::Add => Ok(Cel::Text([a, b].concat())),
        (Cel::Bytes(a), Cel::Bytes(b)) if operator == Operator::Add => Ok(Cel::Bytes([a, b].concat())),
        (Cel::List(a), Cel::List(b)) if operator == Operator::Add => Ok(Cel::List([a, b].concat())),
        _ => Err(Failed),
    }
}

fn equal(a: &Cel, b: &Cel) -> bool {
    match (a, b) {
        (Cel::List(a), Cel::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        _ if is_number(a) && is_number(b) => order(a, b) == Ok(Some(Ordering::Equal)),
        _ => a == b,
    }
}

fn is_number(value: &Cel) -> bool {
    matches!(value, Cel::Int(_) | Cel::Uint(_) | Cel::Double(_))
}

/// `None` for what is no number among numbers.
fn order(a: &Cel, b: &Cel) -> Result<Option<Ordering>, Failed> {
    let double = |value: &Cel| match value {
        Cel::Int(number) => *number as f64,
        Cel::Uint(number) => *number as f64,
        Cel::Double(number) => *number,
        _ => f64::NAN,
    };
    let whole = |value: &Cel| match value {
        Cel::Int(number) => Some(i128::from(*number)),
        Cel::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    Ok(match (a, b) {
        (Cel::Text(a), Cel::Text(b)) | (Cel::Bytes(a), Cel::Bytes(b)) => Some(a.cmp(b)),
        (Cel::Bool(a), Cel::Bool(b)) => Some(a.cmp(b)),
        (Cel::Time(a), Cel::Time(b)) => Some(a.cmp(b)),
        _ if is_number(a) && is_number(b) => match (whole(a), whole(b)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => double(a).partial_cmp(&double(b)),
        },
        _ => return Err(Failed),
    })
}

fn size(of: &Cel) -> Evaluated {
    let size = match of {
        Cel::Text(text) => String::from_utf8_lossy(text).chars().count(),
        Cel::Bytes(bytes) => bytes.len(),
        Cel::List(list) => list.len(),
        Cel::Parts(Value::Map(parts) | Value::Headers(parts)) => parts.len(),
        Cel::Parts(Value::List(list)) => list.len(),
        _ => return Err(Failed),
    };
    i64::try_from(size).map(Cel::Int).map_err(|_| Failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::cel::parse;

    fn evaluate(source: &str) -> Evaluated {
        let attribute = |name: &str| match name {
            "request" => Some(Value::Opaque(vec![
                (b"path".to_vec(), Value::text("/")),
                (b"size".to_vec(), Value::Integer(5)),
                (b"time".to_vec(), Value::Integer(7)),
                (b"headers".to_vec(), Value::Headers(vec![(b"x-a".to_vec(), Value::text("b"))])),
            ])),
            "mine" => Some(Value::text("v")),
            _ => None,
        };
        parse(source).unwrap().evaluate(&attribute)
    }

    #[test]
    fn expressions_give_what_envoy_gives() {
        for holds in [
            "1 == 1 && 1 != 2",
            "2u == 2 && 1.0 == 1 && 1 < 2.5",
            "'a' == \"a\" && !(1 == 'a')",
            "nope || true",
            "!(nope && false)",
            "request.path == '/' && request.headers['x-a'] == 'b'",
            "'X-A' in request.headers && !('nope' in request.headers)",
            "has(request.path) && !has(request.headers.nope)",
            "request.path.startsWith('/') && !request.path.endsWith('x') && request.path.contains('')",
            "size('äb') == 2 && size([1, 2]) == 2 && size(request.headers) == 1",
            "mine == b'v' && mine != 'v'",
            "request.time != 7 && request.time <= request.time && request.size == 5",
            "(1 + 2) * 3 == 9 && 'a' + 'b' == 'ab' && 5 % 2 == 1 && -1 < 0",
            "1 in [1, 2] && !(3 in [1, 2]) && [1, 2][1] == 2",
            "true ? true : nope",
            "0x10 == 16 && 1e3 == 1000.0 && null == null",
            "'\\x41\\n' == 'A\\n' && r'\\n' != '\\n' && \"it's\" == 'it\\'s' // a comment",
        ] {
            assert_eq!(evaluate(holds), Ok(Cel::Bool(true)), "{holds}");
        }
        for fails in
            ["nope", "!1", "1 < 'a'", "true && 1", "nope || false", "1 / 0", "request.nope == null", "1 ? 2 : 3"]
        {
            assert_eq!(evaluate(fails), Err(Failed), "{fails}");
        }
    }
}
