//! What `lambda_http` can make a request of. It panics on an event whose path, query or host is none as `http` has
//! them, and strangers choose all three: <https://docs.rs/lambda_http/1.3.2/src/lambda_http/request.rs.html>.

use lambda_http::http::header::{HOST, HeaderName};
use lambda_http::request::LambdaRequest;

/// Taken for the scheme of an address that nothing here reads.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The event with its path and query in characters an address may have, and without what else goes into the address:
/// nothing here asks for that.
pub fn presentable(mut event: LambdaRequest) -> LambdaRequest {
    if let LambdaRequest::ApiGatewayV2(event) = &mut event {
        event.headers.remove(HOST);
        event.headers.remove(FORWARDED_PROTO);
        event.request_context.domain_name = None;
        let path = event.raw_path.take().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        event.raw_path = Some(format!("{slash}{}", escaped(&path, b'?')));
        event.raw_query_string = event.raw_query_string.take().map(|query| escaped(&query, b'#'));
    }
    event
}

/// Writes as `%XX` what no address holds, and `end`, which would end this part of it. A `%` stays: it was written by
/// whoever sent this.
fn escaped(text: &str, end: u8) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut escaped, byte| {
            match byte {
                b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                    escape(&mut escaped, byte)
                }
                byte if byte == end || !byte.is_ascii_graphic() => escape(&mut escaped, byte),
                byte => escaped.push(char::from(byte)),
            }
            escaped
        })
}

fn escape(text: &mut String, byte: u8) {
    text.push('%');
    text.push_str(&hex::encode_upper([byte]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_http::Request;
    use serde_json::{Value, json};

    fn event(change: impl FnOnce(&mut Value)) -> Request {
        let mut event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/events/dev", "rawQueryString": "generation=2",
            "headers": { "host": "abc.lambda-url.eu-west-1.on.aws", "x-forwarded-proto": "https" },
            "requestContext": {
                "accountId": "anonymous", "apiId": "abc", "domainName": "abc.lambda-url.eu-west-1.on.aws",
                "domainPrefix": "abc", "requestId": "id", "routeKey": "$default", "stage": "$default",
                "time": "07/Aug/2026:13:12:43 +0000", "timeEpoch": 1_786_108_363_000_i64,
                "http": {
                    "method": "POST", "path": "/events/dev", "protocol": "HTTP/1.1", "sourceIp": "198.51.100.7",
                    "userAgent": "curl",
                },
            },
            "body": "{}", "isBase64Encoded": false,
        });
        change(&mut event);
        presentable(serde_json::from_value(event).unwrap()).into()
    }

    #[test]
    fn an_ordinary_request_stays_as_it_is() {
        let request = event(|_| {});
        assert_eq!(request.uri().path(), "/events/dev");
        assert_eq!(request.uri().query(), Some("generation=2"));
        let request = event(|event| event["rawQueryString"] = json!("a=b%20c&d=%F0%9F%98%80/?:@!$'()*+,;~"));
        assert_eq!(
            request.uri().query(),
            Some("a=b%20c&d=%F0%9F%98%80/?:@!$'()*+,;~")
        );
    }

    #[test]
    fn whatever_stands_in_path_query_or_host_becomes_a_request() {
        for character in (0..=0x2ff).filter_map(char::from_u32).chain(['\u{fffe}', '😀']) {
            for text in [
                character.to_string(),
                format!("/{character}"),
                format!("x{character}y%"),
            ] {
                event(|event| event["rawPath"] = json!(text));
                let request = event(|event| event["rawQueryString"] = json!(text));
                assert_eq!(request.uri().path(), "/events/dev");
                event(|event| event["requestContext"]["domainName"] = json!(text));
                for header in ["host", "x-forwarded-proto"] {
                    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
                        event(|event| event["headers"][header] = json!(text));
                    }
                }
            }
        }
        for path in [
            json!(null),
            json!(""),
            json!("//"),
            json!(":99999"),
            json!("@x"),
            json!("/../.."),
        ] {
            event(|event| event["rawPath"] = path);
        }
    }

    #[test]
    fn what_would_end_a_part_is_part_of_it() {
        let request = event(|event| event["rawPath"] = json!("/events/dev?generation=3#x"));
        assert_eq!(request.uri().path(), "/events/dev%3Fgeneration=3%23x");
        assert_eq!(request.uri().query(), Some("generation=2"));
        let request = event(|event| event["rawQueryString"] = json!("generation=2#<x>"));
        assert_eq!(request.uri().query(), Some("generation=2%23%3Cx%3E"));
    }
}
