//! How a statically linked program looks up names of machines and users.

/// Makes a statically linked glibc answer by itself, from `/etc/hosts`, name servers and `/etc/passwd`. Otherwise glibc
/// would load the modules that `/etc/nsswitch.conf` names, and crash on those of another glibc version. Must be called
/// before any name is looked up.
pub fn look_up_without_modules() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    for (database, sources) in [(c"hosts", c"files dns"), (c"passwd", c"files")] {
        glibc::configure(database, sources);
    }
}

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod glibc {
    use std::ffi::{CStr, c_char, c_int};

    #[expect(
        unsafe_code,
        reason = "Rust has no other name for a function of glibc's"
    )]
    unsafe extern "C" {
        /// Declared as in `nss.h`.
        fn __nss_configure_lookup(database: *const c_char, sources: *const c_char) -> c_int;
    }

    #[expect(unsafe_code, reason = "a function of glibc's")]
    pub(super) fn configure(database: &CStr, sources: &CStr) {
        // SAFETY: both texts outlive the call, which copies what it needs, and no other thread runs yet.
        let refused = unsafe { __nss_configure_lookup(database.as_ptr(), sources.as_ptr()) };
        debug_assert_eq!(refused, 0, "both names are glibc's own");
    }
}
