//! Trace ids as people write them.

/// 32 hexadecimal digits, or fewer without leading zeros.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_trace_id(text: &str) -> Result<u128, String> {
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u128::from_str_radix(text, 16) {
        Ok(0) => Err("a trace id is not zero".to_owned()),
        Ok(id) if is_hex => Ok(id),
        _ => Err("a trace id is 32 hexadecimal digits".to_owned()),
    }
}
