//! Rust types for the packages in `wit/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "guest",
    with: {
        "spin:mysql/mysql.connection": crate::mysql::Connection,
        "spin:redis/redis.connection": crate::redis::Connection,
    },
    imports: { default: trappable },
});

/// The function that the refresh task calls.
pub(crate) mod refresher {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "refresher",
        exports: { default: async },
    });
}
