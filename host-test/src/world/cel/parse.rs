//! Text → expression.

use super::{Expression, Literal, Operator, Test, text::quoted};

/// Why there is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is none, for Envoy either.
    Wrong,
    /// It holds what this host doesn't play.
    Unplayed(String),
}

type Parsed<T = Expression> = Result<T, Refused>;

/// How deep expressions may stand in each other.
const DEEPEST: usize = 64;

/// By how tightly they bind, the loosest first.
const OPERATORS: &[&[(&str, Operator)]] = &[
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("in", Operator::In),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

pub fn parse(source: &str) -> Parsed {
    let mut parser = Parser { rest: source, depth: 0 };
    let expression = parser.choice()?;
    parser.blanks();
    if parser.rest.is_empty() { Ok(expression) } else { Err(Refused::Wrong) }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

impl Parser<'_> {
    fn blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix("//") else { return };
            self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn take(&mut self, token: &str) -> bool {
        self.blanks();
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        if token.ends_with(is_of_name) && rest.starts_with(is_of_name) {
            return false;
        }
        self.rest = rest;
        true
    }

    fn must(&mut self, token: &str) -> Parsed<()> {
        if self.take(token) { Ok(()) } else { Err(Refused::Wrong) }
    }

    fn choice(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Refused::Unplayed("its depth".into()));
        }
        let condition = self.binary(0)?;
        let expression = if self.take("?") {
            let yes = self.binary(0)?;
            self.must(":")?;
            Expression::Choice(Box::new([condition, yes, self.choice()?]))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn binary(&mut self, level: usize) -> Parsed {
        let Some(operators) = OPERATORS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        let mut length = 0;
        while let Some((_, operator)) = operators.iter().find(|(token, _)| self.take(token)) {
            length += 1;
            if length > DEEPEST {
                return Err(Refused::Unplayed("its length".into()));
            }
            left = Expression::Binary(*operator, Box::new(left), Box::new(self.binary(level + 1)?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Refused::Unplayed("its depth".into()));
        }
        let expression = if self.take("!") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.take("-") {
            match self.unary()? {
                Expression::Literal(Literal::Int(number)) => Expression::Literal(Literal::Int(-number)),
                operand => Expression::Negative(Box::new(operand)),
            }
        } else {
            self.member()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn member(&mut self) -> Parsed {
        let mut of = self.primary()?;
        let mut length = 0;
        loop {
            length += 1;
            if length > DEEPEST {
                return Err(Refused::Unplayed("its length".into()));
            }
            if self.take(".") {
                self.blanks();
                let name = self.name()?;
                of = if self.take("(") { self.method(of, &name)? } else { Expression::Field(Box::new(of), name) };
            } else if self.take("[") {
                let key = self.choice()?;
                self.must("]")?;
                of = Expression::Index(Box::new(of), Box::new(key));
            } else {
                return Ok(of);
            }
        }
    }

    fn method(&mut self, of: Expression, name: &str) -> Parsed {
        let test = match name {
            "startsWith" => Test::StartsWith,
            "endsWith" => Test::EndsWith,
            "contains" => Test::Contains,
            "size" if self.take(")") => return Ok(Expression::Size(Box::new(of))),
            _ => return Err(Refused::Unplayed(format!("`{name}()`"))),
        };
        let argument = self.choice()?;
        self.must(")")?;
        Ok(Expression::Text(test, Box::new(of), Box::new(argument)))
    }

    fn name(&mut self) -> Parsed<String> {
        let end = self.rest.find(|letter| !is_of_name(letter)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).ok_or(Refused::Wrong)?;
        if name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) {
            return Err(Refused::Wrong);
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    fn primary(&mut self) -> Parsed {
        self.blanks();
        if self.take("(") {
            let expression = self.choice()?;
            self.must(")")?;
            return Ok(expression);
        }
        if self.take("[") {
            return self.list();
        }
        if self.rest.starts_with('{') {
            return Err(Refused::Unplayed("a map".into()));
        }
        if let Some(literal) = quoted(self.rest) {
            let (literal, rest) = literal?;
            self.rest = rest;
            return Ok(Expression::Literal(literal));
        }
        if self.rest.starts_with(|letter: char| letter.is_ascii_digit()) {
            return self.number();
        }
        if self.rest.starts_with('.') {
            return Err(Refused::Unplayed("a dot before a name or number".into()));
        }
        let name = self.name()?;
        let literal = match name.as_str() {
            "true" => Literal::Bool(true),
            "false" => Literal::Bool(false),
            "null" => Literal::Null,
            "in" => return Err(Refused::Wrong),
            _ if self.take("(") => return self.function(&name),
            _ => return Ok(Expression::Name(name)),
        };
        Ok(Expression::Literal(literal))
    }

    fn function(&mut self, name: &str) -> Parsed {
        if !matches!(name, "has" | "size") {
            return Err(Refused::Unplayed(format!("`{name}()`")));
        }
        let argument = self.choice()?;
        self.must(")")?;
        match (name, argument) {
            ("size", argument) => Ok(Expression::Size(Box::new(argument))),
            (_, Expression::Field(of, name)) => Ok(Expression::Has(of, name)),
            _ => Err(Refused::Wrong),
        }
    }

    fn list(&mut self) -> Parsed {
        let mut list = Vec::new();
        while !self.take("]") {
            list.push(self.choice()?);
            if !self.take(",") {
                self.must("]")?;
                break;
            }
        }
        Ok(Expression::List(list))
    }

    fn number(&mut self) -> Parsed {
        let end = self.rest.find(|letter| !is_of_name(letter) && letter != '.').unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at_checked(end).ok_or(Refused::Wrong)?;
        self.rest = rest;
        let (digits, unsigned) = digits.strip_suffix(['u', 'U']).map_or((digits, false), |digits| (digits, true));
        let whole = |digits: &str| match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        };
        let literal = match whole(digits) {
            Some(number) if unsigned => Literal::Uint(number),
            Some(number) => Literal::Int(i64::try_from(number).map_err(|_| Refused::Wrong)?),
            None if !unsigned && digits.starts_with(|letter: char| letter.is_ascii_digit()) => {
                // An exponent with a sign isn't part of what was taken for digits.
                let exponent = digits.ends_with(['e', 'E']) && self.rest.starts_with(['+', '-']);
                if exponent {
                    return Err(Refused::Unplayed("an exponent with a sign".into()));
                }
                Literal::Double(digits.parse().map_err(|_| Refused::Wrong)?)
            }
            None => return Err(Refused::Wrong),
        };
        Ok(Expression::Literal(literal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_played_is_told_from_what_is_no_expression() {
        for wrong in ["", "request.path ==", "a.", "a['b", "1 +", "(1", "'a", "a b", "has(a)", "1x", "[1"] {
            assert_eq!(parse(wrong), Err(Refused::Wrong), "{wrong}");
        }
        for unplayed in ["a.matches('b')", "timestamp('x')", "{'a': 1}", "[1].all(x, x > 0)", "int(5)", "'''a'''"] {
            assert!(matches!(parse(unplayed), Err(Refused::Unplayed(_))), "{unplayed}");
        }
    }

    #[test]
    fn operators_bind_as_in_cel() {
        assert_eq!(parse("a || b && c == d + e * f"), parse("a || (b && (c == (d + (e * f))))"));
        assert_eq!(parse("1 - 2 - 3"), parse("(1 - 2) - 3"));
        assert_eq!(parse("a ? b : c ? d : e"), parse("a ? b : (c ? d : e)"));
        assert_eq!(parse("inside"), Ok(Expression::Name("inside".into())));
    }

    #[test]
    fn a_deep_expression_ends_no_host() {
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&"!".repeat(100_000)).is_err());
        assert!(parse(&format!("1{}", "+1".repeat(100_000))).is_err());
        assert!(parse(&format!("a{}", ".a".repeat(100_000))).is_err());
    }
}
