//! Log records written straight into a request: one resource, one scope, records after one another.

use crate::edit::put_attribute;
use crate::protobuf::{put_bytes, put_fixed64, put_message};

const RESOURCE_LOGS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE_LOGS: u32 = 2;
const LOG_RECORD: u32 = 2;

/// The records of one resource, on their way to an `ExportLogsServiceRequest`.
#[derive(Clone, Debug)]
pub struct LogBlock {
    /// The field `resource`, whole.
    resource: Vec<u8>,
    /// The fields `log_records`, whole.
    records: Vec<u8>,
    count: u32,
}

impl LogBlock {
    pub fn new(resource_attributes: &[(&str, &str)]) -> Self {
        let mut resource = Vec::new();
        put_message(&mut resource, RESOURCE, 128, |out| {
            for (key, value) in resource_attributes {
                put_attribute(out, 1, key, value);
            }
        });
        Self { resource, records: Vec::new(), count: 0 }
    }

    /// Adds a record. Times are nanoseconds of the Unix epoch; 0: unknown.
    pub fn push(
        &mut self,
        time_ns: u64,
        observed_ns: u64,
        body: &str,
        attributes: &[(&str, &str)],
    ) {
        let guess = body.len() + 32 + 32 * attributes.len();
        put_message(&mut self.records, LOG_RECORD, guess, |out| {
            if time_ns != 0 {
                put_fixed64(out, 1, time_ns);
            }
            put_message(out, 5, body.len() + 4, |out| put_bytes(out, 1, body.as_bytes()));
            for (key, value) in attributes {
                put_attribute(out, 6, key, value);
            }
            if observed_ns != 0 {
                put_fixed64(out, 11, observed_ns);
            }
        });
        self.count += 1;
    }

    /// Records so far.
    pub fn items(&self) -> u32 {
        self.count
    }

    /// Bytes of the request so far, its envelopes aside.
    pub fn bytes(&self) -> usize {
        self.resource.len() + self.records.len()
    }

    /// The request; without a record it is empty. The resource stays for the next one.
    pub fn finish(&mut self) -> Vec<u8> {
        let records = std::mem::take(&mut self.records);
        self.count = 0;
        let mut out = Vec::with_capacity(self.resource.len() + records.len() + 16);
        if records.is_empty() {
            return out;
        }
        put_message(&mut out, RESOURCE_LOGS, self.resource.len() + records.len() + 5, |out| {
            out.extend_from_slice(&self.resource);
            put_bytes(out, SCOPE_LOGS, &records);
        });
        out
    }
}
