//! The words of a filter.

use super::{Fault, fault};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    OpenBrace,
    CloseBrace,
    Open,
    Close,
    And,
    Or,
    Not,
    Minus,
    Comparison(Comparison),
    Attribute(Scope, String),
    /// A name that is no attribute's, with its prefix: `duration`, `trace:duration`, `service.name`.
    Word(String),
    Text(String),
    Int(i64),
    Double(f64),
    /// In nanoseconds.
    Duration(i64),
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Above,
    AtLeast,
    Below,
    AtMost,
    Like,
    NotLike,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Any,
    Span,
    Resource,
}

#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

/// Longer ones first.
const SYMBOLS: [(&str, Token); 16] = [
    ("&&", Token::And),
    ("||", Token::Or),
    ("!=", Token::Comparison(Comparison::NotEqual)),
    ("!~", Token::Comparison(Comparison::NotLike)),
    ("=~", Token::Comparison(Comparison::Like)),
    (">=", Token::Comparison(Comparison::AtLeast)),
    ("<=", Token::Comparison(Comparison::AtMost)),
    ("{", Token::OpenBrace),
    ("}", Token::CloseBrace),
    ("(", Token::Open),
    (")", Token::Close),
    ("=", Token::Comparison(Comparison::Equal)),
    (">", Token::Comparison(Comparison::Above)),
    ("<", Token::Comparison(Comparison::Below)),
    ("!", Token::Not),
    ("-", Token::Minus),
];

/// What TraceQL has and a span filter cannot be about. Longer ones first.
const UNSUPPORTED: [(&str, &str); 21] = [
    ("!>>", "spans related to others"),
    ("!<<", "spans related to others"),
    ("&>>", "spans related to others"),
    ("&<<", "spans related to others"),
    (">>", "spans related to others"),
    ("<<", "spans related to others"),
    ("!>", "spans related to others"),
    ("!<", "spans related to others"),
    ("&>", "spans related to others"),
    ("&<", "spans related to others"),
    ("&~", "spans related to others"),
    ("~", "spans related to others"),
    ("+", "arithmetic"),
    ("*", "arithmetic"),
    ("/", "arithmetic"),
    ("%", "arithmetic"),
    ("^", "arithmetic"),
    ("parent.", "attributes of the parent span"),
    ("event.", "attributes of events"),
    ("link.", "attributes of links"),
    ("instrumentation.", "attributes of the instrumentation"),
];

const UNITS: [(&str, f64); 10] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
    ("d", 86_400e9),
    ("w", 604_800e9),
    ("y", 31_536_000e9),
];

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The next token, and where it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token), Fault> {
        self.skip_blanks()?;
        let (start, rest) = (self.at, self.rest());
        let Some(first) = rest.chars().next() else {
            return Ok((start, Token::End));
        };
        let second = rest[first.len_utf8()..].chars().next().unwrap_or(' ');
        let token = match first {
            '"' => self.quoted()?,
            '`' => self.raw()?,
            '0'..='9' => self.number()?,
            '.' if second.is_ascii_digit() => self.number()?,
            '.' => self.attribute(".", Scope::Any)?,
            _ if first.is_alphabetic() || first == '_' => self.word()?,
            _ => self.symbol(first)?,
        };
        Ok((start, token))
    }

    fn skip_blanks(&mut self) -> Result<(), Fault> {
        loop {
            self.at = self.text.len() - self.rest().trim_start().len();
            let rest = self.rest();
            let comment = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                let end = rest.find("*/");
                end.map_or_else(|| fault(self.at, "expected */ after this /*"), |end| Ok(end + 2))?
            } else {
                return Ok(());
            };
            self.at += comment;
        }
    }

    fn symbol(&mut self, first: char) -> Result<Token, Fault> {
        let rest = self.rest();
        if let Some((_, what)) = UNSUPPORTED.iter().find(|(text, _)| rest.starts_with(text)) {
            return fault(self.at, format!("not supported: {what}"));
        }
        if let Some((text, token)) = SYMBOLS.iter().find(|(text, _)| rest.starts_with(text)) {
            self.at += text.len();
            return Ok(token.clone());
        }
        match first {
            '|' => fault(self.at, "not supported: pipelines; for \"or\" write ||"),
            '&' => fault(self.at, "expected &&"),
            '\'' => fault(self.at, "expected a string in double quotes or backticks"),
            _ => fault(self.at, format!("unexpected {first:?}")),
        }
    }

    /// An attribute, after its scope.
    fn attribute(&mut self, scope_text: &str, scope: Scope) -> Result<Token, Fault> {
        self.at += scope_text.len();
        let start = self.at;
        let mut name = String::new();
        while let Some(char) = self.rest().chars().next() {
            if char == '"' {
                name.push_str(&self.string()?);
            } else if is_of_attribute(char) {
                name.push(char);
                self.at += char.len_utf8();
            } else {
                break;
            }
        }
        if name.is_empty() {
            return fault(start, "expected the name of an attribute");
        }
        Ok(Token::Attribute(scope, name))
    }

    fn word(&mut self) -> Result<Token, Fault> {
        let rest = self.rest();
        if rest.starts_with("span.") {
            return self.attribute("span.", Scope::Span);
        }
        if rest.starts_with("resource.") {
            return self.attribute("resource.", Scope::Resource);
        }
        if let Some((text, what)) = UNSUPPORTED.iter().find(|(text, _)| rest.starts_with(text)) {
            return fault(self.at, format!("not supported: {what} ({text})"));
        }
        let plain = |char: char| char.is_alphanumeric() || char == '_';
        let end = rest.find(|char| !plain(char)).unwrap_or(rest.len());
        let end = match rest[end..].chars().next() {
            Some('.') => rest.find(|char| !is_of_attribute(char)).unwrap_or(rest.len()),
            Some(':') => {
                let member = &rest[end + 1..];
                end + 1 + member.find(|char| !plain(char)).unwrap_or(member.len())
            }
            _ => end,
        };
        self.at += end;
        Ok(Token::Word(rest[..end].to_owned()))
    }

    fn quoted(&mut self) -> Result<Token, Fault> {
        self.string().map(Token::Text)
    }

    fn string(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.at = start + at + 1;
                    return Ok(text);
                }
                '\n' => break,
                '\\' => match chars.next().and_then(|(_, char)| escaped(char)) {
                    Some(char) => text.push(char),
                    None => {
                        let known = "expected \\\\ \\\" \\n \\r or \\t; in backticks \\ is itself";
                        return fault(start + at, known);
                    }
                },
                _ => text.push(char),
            }
        }
        fault(start, "expected a closing \" after this one")
    }

    fn raw(&mut self) -> Result<Token, Fault> {
        let text = &self.rest()[1..];
        let Some(end) = text.find('`') else {
            return fault(self.at, "expected a closing ` after this one");
        };
        self.at += end + 2;
        Ok(Token::Text(text[..end].to_owned()))
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let (start, rest) = (self.at, self.rest());
        let end = rest.find(|char| !is_of_number(char)).unwrap_or(rest.len());
        let text = &rest[..end];
        self.at += end;
        let whole = text.parse().map(Token::Int).ok();
        let broken = || text.parse().ok().filter(|double: &f64| double.is_finite());
        let token = whole.or_else(|| broken().map(Token::Double)).or_else(|| duration(text));
        token.map_or_else(
            || fault(start, format!("expected a number or a duration such as 1h30m, not {text}")),
            Ok,
        )
    }
}

fn escaped(char: char) -> Option<char> {
    match char {
        '\\' | '"' => Some(char),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        _ => None,
    }
}

fn is_of_attribute(char: char) -> bool {
    !char.is_whitespace() && !"{}()=~!<>&|^,".contains(char)
}

fn is_of_number(char: char) -> bool {
    char.is_alphanumeric() || char == '.'
}

/// Numbers with units, one after the other.
fn duration(text: &str) -> Option<Token> {
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|char: char| char.is_ascii_digit() || char == '.');
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    (total < i64::MAX as f64).then_some(Token::Duration(total.round() as i64))
}
