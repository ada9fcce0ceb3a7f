//! Bearer tokens: each stands for a database role. Only the SHA-256 of a token is stored, so tokens must be random:
//! the hash of a guessable token can be reversed.

use crate::Error;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

type Hash = [u8; 32];

/// The tokens that the service accepts.
pub struct Tokens(Vec<(Hash, String)>);

impl Tokens {
    /// Parses lines of the form `<sha256 in hex> <role>`. Empty lines and lines that begin with `#` are skipped.
    pub fn parse(text: &str) -> Result<Tokens, Error> {
        let mut tokens: Vec<(Hash, String)> = vec![];
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let invalid = |reason: &str| format!("tokens, line {}: {reason}", index + 1);
            let (hash, role) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| invalid("expected <sha256 in hex> <role>"))?;
            let hash = parse_hex(hash)
                .ok_or_else(|| invalid("the hash must have 64 hexadecimal digits"))?;
            let role = role.trim_start();
            // SET ROLE none would be the login role of the service.
            if role.eq_ignore_ascii_case("none") {
                return Err(invalid("none is not a role").into());
            }
            if tokens.iter().any(|(other, _)| *other == hash) {
                return Err(invalid("the token has a line already").into());
            }
            tokens.push((hash, role.to_owned()));
        }
        if tokens.is_empty() {
            return Err("there are no tokens".into());
        }
        Ok(Tokens(tokens))
    }

    /// Returns the role of a token. Compares with every entry in constant time, so that the time of an answer says
    /// nothing about the tokens.
    pub fn role(&self, token: &str) -> Option<&str> {
        let hash = sha256(token);
        let mut found = None;
        for (known, role) in &self.0 {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(role.as_str());
            }
        }
        found
    }
}

/// The line that makes [`Tokens::parse`] accept a token for a role.
pub fn line(token: &str, role: &str) -> String {
    let hex: String = sha256(token).iter().map(|b| format!("{b:02x}")).collect();
    format!("{hex} {role}")
}

fn sha256(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

fn parse_hex(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = Hash::default();
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_stands_for_the_role_of_its_line() {
        let text = format!(
            "# who may call\n\n{}\n  {}  \n",
            line("a", "app"),
            line("b", "two words")
        );
        let tokens = Tokens::parse(&text).unwrap();
        assert_eq!(tokens.role("a"), Some("app"));
        assert_eq!(tokens.role("b"), Some("two words"));
        assert_eq!(tokens.role("c"), None);
        assert_eq!(tokens.role(""), None);
    }

    #[test]
    fn hash_may_have_capital_digits() {
        let text = line("a", "app").replace("app", "").to_uppercase() + "app";
        assert_eq!(Tokens::parse(&text).unwrap().role("a"), Some("app"));
    }

    #[test]
    fn file_that_is_wrong_is_refused_with_the_line() {
        let twice = format!("{}\n{}", line("a", "app"), line("a", "admin"));
        for (text, message) in [
            ("", "there are no tokens"),
            ("# only a comment", "there are no tokens"),
            ("abc", "tokens, line 1: expected <sha256 in hex> <role>"),
            (
                "\nabc app",
                "tokens, line 2: the hash must have 64 hexadecimal digits",
            ),
            (&line("a", "None"), "tokens, line 1: none is not a role"),
            (&twice, "tokens, line 2: the token has a line already"),
        ] {
            let error = Tokens::parse(text).err().unwrap();
            assert_eq!(error.to_string(), message);
        }
    }
}
