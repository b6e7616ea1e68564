//! From words to conditions.

use super::super::condition::{Expression, Value};
use super::field::{FIELDS, Field, Literal, Type, intrinsic, keyword};
use super::lexer::{Comparison, Lexer, Token};
use super::{Fault, fault};

const DEPTH_MAX: usize = 32;
const CONDITIONS_MAX: usize = 128;

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// Where the next token begins.
    at: usize,
    next: Token,
    depth: usize,
    conditions: usize,
}

pub(super) fn filter(text: &str) -> Result<Expression, Fault> {
    let mut lexer = Lexer::new(text);
    let (at, next) = lexer.next()?;
    let mut parser = Parser { lexer, at, next, depth: 0, conditions: 0 };
    parser.expect(&Token::OpenBrace, "{")?;
    let expression = match parser.next {
        Token::CloseBrace => Expression::TRUE,
        _ => parser.expression()?,
    };
    parser.expect(&Token::CloseBrace, "&&, || or }")?;
    match parser.next {
        Token::End => Ok(expression),
        Token::OpenBrace | Token::And | Token::Or | Token::Comparison(_) => {
            fault(parser.at, "not supported: more than one { }; join conditions inside of one")
        }
        _ => parser.expected("the end of the filter"),
    }
}

impl Parser<'_> {
    fn advance(&mut self) -> Result<Token, Fault> {
        let (at, next) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn expected<T>(&self, what: &str) -> Result<T, Fault> {
        fault(self.at, format!("expected {what}, found {}", describe(&self.next)))
    }

    fn expect(&mut self, token: &Token, what: &str) -> Result<(), Fault> {
        if self.next == *token { self.advance().map(|_| ()) } else { self.expected(what) }
    }

    fn expression(&mut self) -> Result<Expression, Fault> {
        let mut left = self.term()?;
        loop {
            let is_and = match self.next {
                Token::And => true,
                Token::Or => false,
                _ => return Ok(left),
            };
            self.advance()?;
            let right = self.term()?;
            left = join(is_and, left, right);
        }
    }

    fn term(&mut self) -> Result<Expression, Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return fault(self.at, format!("nested more than {DEPTH_MAX} deep"));
        }
        let term = match self.next {
            Token::Not => self.negation(),
            Token::Open => self.group(),
            _ => self.condition(),
        };
        self.depth -= 1;
        term
    }

    fn negation(&mut self) -> Result<Expression, Fault> {
        self.advance()?;
        let inner = match &self.next {
            Token::Not | Token::Open => self.term()?,
            Token::Word(word) if word == "true" || word == "false" => self.condition()?,
            Token::Attribute(..) => {
                let field = self.field()?;
                if let Token::Comparison(_) = self.next {
                    return fault(self.at, "! is about the attribute alone: write !( … )");
                }
                // Of a boolean; of anything else TraceQL has no answer.
                return Ok(field.is(Value::Bool(false)));
            }
            _ => return self.expected("( or an attribute after !"),
        };
        Ok(inner.not())
    }

    fn group(&mut self) -> Result<Expression, Fault> {
        self.advance()?;
        let inner = self.expression()?;
        self.expect(&Token::Close, "&&, || or )")?;
        if let Token::Comparison(_) = self.next {
            return fault(self.at, "not supported: comparing what stands in parentheses");
        }
        Ok(inner)
    }

    fn condition(&mut self) -> Result<Expression, Fault> {
        self.conditions += 1;
        if self.conditions > CONDITIONS_MAX {
            return fault(self.at, format!("more than {CONDITIONS_MAX} conditions"));
        }
        let start = self.at;
        if let Some(literal) = self.literal()? {
            return self.constant_first(start, literal);
        }
        let field = self.field()?;
        let Token::Comparison(comparison) = self.next else {
            return match field.value_type {
                Type::Any => Ok(field.is(Value::Bool(true))),
                _ => self.expected("a comparison (= != > >= < <= =~ !~)"),
            };
        };
        let operator = self.at;
        self.advance()?;
        let start = self.at;
        let Some(literal) = self.literal()? else {
            return match self.next {
                Token::Attribute(..) => fault(start, "not supported: comparing two attributes"),
                _ => self.expected(field.value_type.values()),
            };
        };
        field.compare((operator, comparison), (start, literal))
    }

    /// `true`, `false`, or a comparison that begins with its value.
    fn constant_first(&mut self, start: usize, literal: Literal) -> Result<Expression, Fault> {
        let Token::Comparison(comparison) = self.next else {
            return match literal {
                Literal::Value(Value::Bool(true)) => Ok(Expression::TRUE),
                Literal::Value(Value::Bool(false)) => Ok(Expression::TRUE.not()),
                _ => self.expected("a comparison (= != > >= < <=)"),
            };
        };
        let operator = self.at;
        let comparison = match comparison {
            Comparison::Like | Comparison::NotLike => {
                return fault(start, "expected the attribute first, its pattern after =~ or !~");
            }
            Comparison::Above => Comparison::Below,
            Comparison::AtLeast => Comparison::AtMost,
            Comparison::Below => Comparison::Above,
            Comparison::AtMost => Comparison::AtLeast,
            Comparison::Equal | Comparison::NotEqual => comparison,
        };
        self.advance()?;
        let field = self.field()?;
        field.compare((operator, comparison), (start, literal))
    }

    fn field(&mut self) -> Result<Field, Fault> {
        let field = match &self.next {
            Token::Attribute(scope, name) => Field::attribute(*scope, name),
            Token::Word(word) => match intrinsic(word) {
                Ok(field) => field,
                Err(problem) => return fault(self.at, problem),
            },
            Token::End | Token::CloseBrace => return self.expected("a condition"),
            _ => return self.expected(FIELDS),
        };
        self.advance()?;
        Ok(field)
    }

    fn literal(&mut self) -> Result<Option<Literal>, Fault> {
        let literal = match &self.next {
            Token::Minus => return self.negative().map(Some),
            Token::Text(text) => Literal::Value(Value::Text(text.clone())),
            Token::Int(int) | Token::Duration(int) => Literal::Value(Value::Int(*int)),
            Token::Double(double) => Literal::Value(Value::double(*double)),
            Token::Word(word) => match keyword(word) {
                Some(literal) => literal,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(literal))
    }

    fn negative(&mut self) -> Result<Literal, Fault> {
        self.advance()?;
        let value = match &self.next {
            Token::Int(int) | Token::Duration(int) => Value::Int(-*int),
            Token::Double(double) => Value::double(-*double),
            Token::Attribute(..) => return fault(self.at, "not supported: arithmetic"),
            _ => return self.expected("a number or a duration after -"),
        };
        self.advance()?;
        Ok(Literal::Value(value))
    }
}

fn join(is_and: bool, left: Expression, right: Expression) -> Expression {
    match (is_and, left) {
        (true, Expression::All(mut all)) if !all.is_empty() => {
            all.push(right);
            Expression::All(all)
        }
        (false, Expression::Any(mut any)) => {
            any.push(right);
            Expression::Any(any)
        }
        (true, left) => Expression::All(vec![left, right]),
        (false, left) => Expression::Any(vec![left, right]),
    }
}

fn describe(token: &Token) -> String {
    match token {
        Token::OpenBrace => "{".to_owned(),
        Token::CloseBrace => "}".to_owned(),
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
        Token::And => "&&".to_owned(),
        Token::Or => "||".to_owned(),
        Token::Not => "!".to_owned(),
        Token::Minus => "-".to_owned(),
        Token::Comparison(_) => "a comparison".to_owned(),
        Token::Attribute(_, name) => format!("the attribute {name}"),
        Token::Word(word) => word.clone(),
        Token::Text(text) => format!("the string {text:?}"),
        Token::Int(int) => int.to_string(),
        Token::Double(double) => double.to_string(),
        Token::Duration(_) => "a duration".to_owned(),
        Token::End => "the end".to_owned(),
    }
}
