//! Expressions of CEL, as far as filters need them, as Envoy evaluates them.
//!
//! 1. Literals, attributes with `.name` and `[key]`, `has(…)`, `! - * / % + < <= > >= == != in && || ?:`, lists, `size`,
//!    and of text `startsWith`, `endsWith` and `contains`.
//! 2. All else is told apart from what is no expression, so that nobody takes it for a mistake of the filter.
//!
//! Source: <https://github.com/google/cel-spec/blob/master/doc/langdef.md>.

mod evaluate;
mod parse;
mod text;

pub use self::parse::{Refused, parse};

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Literal(Literal),
    List(Vec<Expression>),
    Name(String),
    /// `of.name`
    Field(Box<Expression>, String),
    /// `of[key]`
    Index(Box<Expression>, Box<Expression>),
    /// `has(of.name)`
    Has(Box<Expression>, String),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    Choice(Box<[Expression; 3]>),
    Size(Box<Expression>),
    Text(Test, Box<Expression>, Box<Expression>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What can be asked of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    StartsWith,
    EndsWith,
    Contains,
}
