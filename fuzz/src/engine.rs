//! libFuzzer, started from a test instead of its own `main`.
#![expect(unsafe_code, reason = "libFuzzer is C++")]

use std::env;
use std::ffi::{CString, c_char, c_int};
use std::panic;
use std::process;
use std::slice;
use std::sync::OnceLock;

// Links it.
use libfuzzer_sys as _;

/// What `cargo xtask fuzz` wants of libFuzzer: its arguments, one a line.
const ARGUMENTS: &str = "STORE_FUZZ_ARGUMENTS";

static CHECK: OnceLock<fn(&[u8])> = OnceLock::new();

unsafe extern "C" {
    fn LLVMFuzzerRunDriver(
        argc: *mut c_int,
        argv: *mut *mut *mut c_char,
        check: extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
}

/// Looks for inputs that make `check` panic, until the time that the arguments give is up. The process ends with it:
/// with an error if it found one.
pub(crate) fn run(check: fn(&[u8])) {
    let Ok(arguments) = env::var(ARGUMENTS) else {
        return;
    };
    CHECK.get_or_init(|| check);
    // libFuzzer writes down the input of a process that aborts.
    let show = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        show(panic);
        process::abort();
    }));
    let arguments = ["store-fuzz"].into_iter().chain(arguments.lines());
    let mut arguments: Vec<*mut c_char> = arguments
        .map(|argument| CString::new(argument).expect("an argument has no zero byte"))
        .map(CString::into_raw)
        .collect();
    let mut count = c_int::try_from(arguments.len()).expect("there are few arguments");
    arguments.push(std::ptr::null_mut());
    let mut first = arguments.as_mut_ptr();
    // SAFETY: as for a C program's main: `count` strings that live on, and a null pointer after them.
    unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut first, check_input) };
}

extern "C" fn check_input(data: *const u8, length: usize) -> c_int {
    let input = match length {
        0 => &[],
        // SAFETY: libFuzzer gives a buffer of that length.
        _ => unsafe { slice::from_raw_parts(data, length) },
    };
    CHECK.get().expect("it was set before")(input);
    0
}

/// What libfuzzer-sys's own entry point calls, which is not ours but is linked all the same.
// SAFETY: nothing else has this name.
#[unsafe(no_mangle)]
#[expect(
    improper_ctypes_definitions,
    reason = "libfuzzer-sys declares it so, and calls it from Rust"
)]
extern "C" fn rust_fuzzer_test_input(input: &[u8]) -> c_int {
    CHECK.get().expect("it was set before")(input);
    0
}
