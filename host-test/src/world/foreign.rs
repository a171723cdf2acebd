//! Foreign functions of Envoy 1.40.
//!
//! 1. `compress` and `uncompress` speak zlib (RFC 1950); bytes behind the end are no error.
//! 2. `declare_property` tells before a name is set whether it may be set once only, and how long it lives. What the root
//!    context declares holds for all streams of its VM; what a stream declares has no effect.
//!    Either may declare a name once.
//! 3. `set_envoy_filter_state` sets state of the proxy's own, by names that the proxy knows.
//! 4. `clear_route_cache` is told OK wherever it is called.
//! 5. `expr_create` takes an expression of CEL ([`super::cel`]); `expr_evaluate` gives its value, in the bytes
//!    that a property has; `expr_delete` forgets it, whether it was there or not. What this host's CEL
//!    doesn't have, and the keys of `sign` and `verify_signature` ([`super::signatures`]), are not played: the
//!    log says so, and the answer is that to a bad argument.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{Read as _, Write as _},
};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

use super::{
    Plugin, World,
    cel::{self, Expression, Refused},
    exchange::Exchange,
    filter_state::Declaration,
    logs::Level,
    protobuf,
    signatures::Asked,
    status::Status,
    value::Value,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Compress,
    Uncompress,
    SetEnvoyFilterState,
    DeclareProperty,
    ClearRouteCache,
    Sign,
    VerifySignature,
    ExprCreate,
    ExprEvaluate,
    ExprDelete,
}

impl Function {
    pub fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"compress" => Self::Compress,
            b"uncompress" => Self::Uncompress,
            b"set_envoy_filter_state" => Self::SetEnvoyFilterState,
            b"declare_property" => Self::DeclareProperty,
            b"clear_route_cache" => Self::ClearRouteCache,
            b"sign" => Self::Sign,
            b"verify_signature" => Self::VerifySignature,
            b"expr_create" => Self::ExprCreate,
            b"expr_evaluate" => Self::ExprEvaluate,
            b"expr_delete" => Self::ExprDelete,
            _ => return None,
        })
    }
}

/// What foreign functions keep for one VM.
#[derive(Debug, Default)]
pub struct Foreign {
    /// The root context of the context in effect.
    pub root: u32,
    /// What each root context declared.
    declared: BTreeMap<(u32, Vec<u8>), Declaration>,
    expressions: BTreeMap<u32, Expression>,
    next: u32,
}

impl Foreign {
    /// What a root context declared of a property.
    pub fn declaration(&self, root: u32, name: &[u8]) -> Declaration {
        self.declared.get(&(root, name.to_vec())).copied().unwrap_or_default()
    }
}

/// The most bytes that are uncompressed, so that a few can't fill memory.
const LARGEST: u64 = 256 << 20;

impl World {
    pub fn foreign(
        &mut self,
        plugin: &Plugin,
        vm: &mut Foreign,
        exchange: Option<&mut Exchange>,
        function: Function,
        argument: &[u8],
    ) -> Result<Vec<u8>, Status> {
        match function {
            Function::Compress => compress(argument).ok_or(Status::SerializationFailure),
            Function::Uncompress => uncompress(argument).ok_or(Status::SerializationFailure),
            Function::ClearRouteCache => Ok(Vec::new()),
            Function::DeclareProperty => {
                let fields = protobuf::fields(argument).ok_or(Status::BadArgument)?;
                let name = protobuf::text(&fields, 1).to_vec();
                let new = match exchange {
                    Some(exchange) => exchange.declared.names.insert(name),
                    None => {
                        let (read_only, span) = (protobuf::number(&fields, 2) != 0, protobuf::number(&fields, 5));
                        let declaration = Declaration { read_only, outlives: span != 0 };
                        match vm.declared.entry((vm.root, name)) {
                            Entry::Occupied(_) => false,
                            Entry::Vacant(entry) => {
                                entry.insert(declaration);
                                true
                            }
                        }
                    }
                };
                new.then(Vec::new).ok_or(Status::BadArgument)
            }
            Function::SetEnvoyFilterState => {
                let fields = protobuf::fields(argument).ok_or(Status::BadArgument)?;
                let exchange = exchange.ok_or(Status::NotFound)?;
                exchange.set_native(protobuf::text(&fields, 1), protobuf::text(&fields, 2))?;
                Ok(Vec::new())
            }
            Function::Sign | Function::VerifySignature => {
                let asked = if function == Function::Sign { Asked::Sign } else { Asked::Verify };
                asked.refusal(argument, self.envoy)?.ok_or_else(|| {
                    self.unplayed("signatures are");
                    Status::BadArgument
                })
            }
            Function::ExprCreate => {
                let text = std::str::from_utf8(argument).map_err(|_| Status::BadArgument)?;
                let expression = match cel::parse(text) {
                    Ok(expression) => expression,
                    Err(Refused::Wrong) => return Err(Status::BadArgument),
                    Err(Refused::Unplayed(what)) => {
                        self.unplayed(&format!("{what} in the expression `{text}` is"));
                        return Err(Status::BadArgument);
                    }
                };
                let token = vm.next;
                vm.next = vm.next.wrapping_add(1);
                vm.expressions.insert(token, expression);
                Ok(token.to_le_bytes().to_vec())
            }
            Function::ExprEvaluate => {
                let expression = vm.expressions.get(&token(argument)?).ok_or(Status::NotFound)?;
                let exchange = exchange.as_deref();
                let attribute = |name: &str| self.attribute(plugin, exchange, name.as_bytes());
                let value = match expression.path() {
                    Some(path) => return self.property(plugin, exchange, &path).map_err(of_expression),
                    None => expression.evaluate(&attribute).map_err(|_| Status::InternalFailure)?,
                };
                Value::from(value).encode()
            }
            Function::ExprDelete => {
                vm.expressions.remove(&token(argument)?);
                Ok(Vec::new())
            }
        }
    }

    fn unplayed(&mut self, what: &str) {
        let text = format!("{what} not played by this host, and answered as a bad argument; Envoy plays them");
        self.logs.write(Level::Error, &text);
    }
}

/// What isn't there is an error of the expression.
fn of_expression(status: Status) -> Status {
    if status == Status::NotFound { Status::InternalFailure } else { status }
}

fn token(argument: &[u8]) -> Result<u32, Status> {
    argument.try_into().map(u32::from_le_bytes).map_err(|_| Status::BadArgument)
}

fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

fn uncompress(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    // An empty input ends at once, which is no stream of zlib.
    ZlibDecoder::new(bytes).take(LARGEST).read_to_end(&mut out).ok().filter(|_| !bytes.is_empty())?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_uncompressed_and_damage_is_seen() {
        let packed = compress(b"hello").unwrap();
        assert_eq!(uncompress(&packed).unwrap(), b"hello");
        assert_eq!(uncompress(&[&packed, b"tail".as_slice()].concat()).unwrap(), b"hello");
        assert_eq!(uncompress(&packed[..packed.len() - 1]), None);
        assert_eq!(uncompress(b"garbage"), None);
        assert_eq!(uncompress(b""), None);
    }

    #[test]
    fn what_this_host_does_not_play_is_said() {
        let (mut world, mut vm) = (World::default(), Foreign::default());
        let answer = world.foreign(&Plugin::default(), &mut vm, None, Function::ExprCreate, b"int(1)");
        assert_eq!(answer, Err(Status::BadArgument));
        assert!(world.logs.take()[0].contains("`int(1)` is not played"));
    }
}
