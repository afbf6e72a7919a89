//! Component versions for swap tests, made from built files without a compiler.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The length of the header of every component, in bytes.
const HEADER_BYTES: usize = 8;

/// Section ids of <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>.
const CUSTOM_SECTION: u8 = 0;
const CORE_MODULE_SECTION: u8 = 1;
const CORE_INSTANCE_SECTION: u8 = 2;
const IMPORT_SECTION: u8 = 10;

/// The length of the places in the test component's data that hold its version and its mode.
const PLACE_BYTES: usize = 48;

/// The folder of built components.
pub fn component_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/wasm32-wasip2/release")
}

/// A version of the test component in `host/tests/guests`, or of one of the store's components.
#[derive(Clone, Debug)]
pub struct Guest {
    bytes: Vec<u8>,
}

impl Guest {
    /// The test component as it was built.
    ///
    /// # Errors
    /// When it was not built; `cargo xtask test` builds it.
    pub fn test() -> Result<Self> {
        Self::built("test_guest")
    }

    /// The component `name` as it was built.
    ///
    /// # Errors
    /// When it was not built.
    pub fn built(name: &str) -> Result<Self> {
        let path = component_folder().join(format!("{name}.wasm"));
        let bytes = fs::read(&path).with_context(|| {
            format!(
                "reading {}, which `cargo xtask test` builds",
                path.display()
            )
        })?;
        Ok(Self { bytes })
    }

    /// Adds an import that no host offers: a resource type.
    #[must_use]
    pub fn missing_import(mut self) -> Self {
        let mut import = vec![1, 0];
        put_bytes(&mut import, b"no-such-thing");
        // A type whose only bound is that it is a resource.
        import.extend([3, 1]);
        self.append(IMPORT_SECTION, &import);
        self
    }

    /// The test component, changed to answer `version`.
    ///
    /// # Errors
    /// When this isn't the test component, or the text is too long.
    pub fn version(self, version: &str) -> Result<Self> {
        self.put("test-guest version=", version)
    }

    /// The test component, changed to another mode: see `host/tests/guests/src/mode.rs`.
    ///
    /// # Errors
    /// When this isn't the test component, or the text is too long.
    pub fn mode(self, mode: &str) -> Result<Self> {
        self.put("test-guest mode=", mode)
    }

    /// The same code with another digest.
    #[must_use]
    pub fn labelled(mut self, label: &str) -> Self {
        let mut content = Vec::new();
        put_bytes(&mut content, b"label");
        content.extend(label.as_bytes());
        self.append(CUSTOM_SECTION, &content);
        self
    }

    /// Adds a second core module with a memory of its own, of `mib` MiB from the start.
    #[must_use]
    pub fn second_memory(mut self, mib: u32) -> Self {
        const PAGES_PER_MIB: u32 = 16;
        let number = self.core_modules();
        let mut memory = vec![1, 0];
        put_number(&mut memory, mib * PAGES_PER_MIB);
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.push(5);
        put_bytes(&mut module, &memory);
        self.append(CORE_MODULE_SECTION, &module);
        // One instance of the module with this number, without arguments.
        let mut instance = vec![1, 0];
        put_number(&mut instance, number);
        instance.push(0);
        self.append(CORE_INSTANCE_SECTION, &instance);
        self
    }

    /// The component's file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The component's file, by value.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes the file to `path` atomically, as a finished build or copy would appear.
    ///
    /// # Errors
    /// When the folder can't be written to.
    pub fn write(&self, path: &Path) -> Result<()> {
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, &self.bytes)
            .and_then(|()| fs::rename(&unfinished, path))
            .with_context(|| format!("writing {}", path.display()))
    }

    fn put(mut self, prefix: &str, text: &str) -> Result<Self> {
        let mut place = format!("{prefix}{text}").into_bytes();
        ensure!(place.len() < PLACE_BYTES, "`{text}` is too long");
        place.resize(PLACE_BYTES, b'.');
        let found = self
            .bytes
            .windows(prefix.len())
            .enumerate()
            .filter(|(_, window)| *window == prefix.as_bytes())
            .map(|(start, _)| start)
            // The data contains the prefix a second time, where the component compares it; only the place ends with a
            // dot.
            .find(|start| self.bytes[start + PLACE_BYTES - 1] == b'.');
        let start = found.with_context(|| format!("the component has no `{prefix}`"))?;
        self.bytes[start..start + PLACE_BYTES].copy_from_slice(&place);
        Ok(self)
    }

    fn append(&mut self, section: u8, content: &[u8]) {
        self.bytes.push(section);
        put_bytes(&mut self.bytes, content);
    }

    /// The number of core modules that the component defines, without those of nested components.
    fn core_modules(&self) -> u32 {
        let mut rest = &self.bytes[HEADER_BYTES..];
        let mut modules = 0;
        while let Some((section, after)) = rest.split_first() {
            modules += u32::from(*section == CORE_MODULE_SECTION);
            let (length, content) = take_number(after);
            rest = &content[length..];
        }
        modules
    }
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a section is far smaller than 4 GiB");
    put_number(to, length);
    to.extend(bytes);
}

/// Writes an unsigned LEB128 number, the encoding of all numbers in WebAssembly.
fn put_number(to: &mut Vec<u8>, mut number: u32) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return to.push(low);
        }
        to.push(low | 0x80);
    }
}

fn take_number(bytes: &[u8]) -> (usize, &[u8]) {
    let length = bytes
        .iter()
        .position(|byte| byte & 0x80 == 0)
        .expect("a number ends")
        + 1;
    let number = bytes[..length]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f));
    (number, &bytes[length..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(bytes: &[u8]) -> Guest {
        Guest {
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn numbers_are_read_as_written() {
        for number in [0, 1, 127, 128, 1600, 300_000, u32::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            assert_eq!(take_number(&bytes), (number as usize, &[][..]));
        }
    }

    #[test]
    fn a_place_is_overwritten_and_its_prefix_elsewhere_is_not() {
        let place = "test-guest mode=well............................";
        let text =
            format!("test-guest mode=and what follows it, more than a place is long; {place}!");
        let changed = guest(text.as_bytes()).mode("slow-5").expect("has a place");
        let expected = text.replace("mode=well..", "mode=slow-5");
        assert_eq!(String::from_utf8_lossy(changed.bytes()), expected);
        assert!(guest(text.as_bytes()).mode(&"x".repeat(40)).is_err());
        assert!(guest(text.as_bytes()).version("1").is_err());
    }

    #[test]
    fn a_second_memory_is_an_instance_of_the_module_after_those_there_are() {
        let component = guest(b"\0asm\x0d\0\x01\0\x01\x02xx\x04\x01x\x01\x01x");
        assert_eq!(component.core_modules(), 2);
        let larger = component.second_memory(1);
        assert_eq!(larger.core_modules(), 3);
        assert!(
            larger
                .bytes()
                .ends_with(&[CORE_INSTANCE_SECTION, 4, 1, 0, 2, 0])
        );
    }
}
