//! An array map's values as memory: read and written without system calls.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The memory of one `BPF_F_MMAPABLE` array. Every access is of one aligned 64-bit word, atomic, as the program's
/// are; values are whole words long.
pub(super) struct MappedArray {
    words: NonNull<AtomicU64>,
    bytes: NonZeroUsize,
    words_per_value: usize,
    values: usize,
}

// SAFETY: the memory is shared with other CPUs anyway; all access is atomic.
unsafe impl Send for MappedArray {}
// SAFETY: as above.
unsafe impl Sync for MappedArray {}

impl MappedArray {
    /// Maps `values` values of `value_size` bytes (a multiple of 8).
    pub(super) fn new(map: impl AsFd, values: u32, value_size: usize) -> Result<Self> {
        assert_eq!(value_size % 8, 0, "array values lie whole words apart");
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.unwrap_or(4096) as usize;
        let bytes = (values as usize * value_size).next_multiple_of(page);
        let bytes = NonZeroUsize::new(bytes).context("an array map of no values")?;
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing.
        let memory = unsafe {
            mmap(
                None,
                bytes,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                map,
                0,
            )
        }
        .context("mapping an array map into memory")?;
        Ok(Self {
            words: memory.cast(),
            bytes,
            words_per_value: value_size / 8,
            values: values as usize,
        })
    }

    /// The same without a map, for tests.
    #[cfg(test)]
    pub(super) fn anonymous(values: u32, value_size: usize) -> Self {
        let bytes = NonZeroUsize::new(values as usize * value_size).expect("some values");
        let (access, flags) = (
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_PRIVATE,
        );
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing.
        let memory = unsafe { nix::sys::mman::mmap_anonymous(None, bytes, access, flags) };
        Self {
            words: memory.expect("memory").cast(),
            bytes,
            words_per_value: value_size / 8,
            values: values as usize,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.values
    }

    /// The words of one value.
    ///
    /// # Panics
    /// If there is no such value.
    pub(super) fn value(&self, index: usize) -> &[AtomicU64] {
        assert!(index < self.values, "value {index} of {}", self.values);
        // SAFETY: inside the mapping by the assertion; page-aligned start, so words are aligned.
        unsafe {
            std::slice::from_raw_parts(
                self.words.as_ptr().add(index * self.words_per_value),
                self.words_per_value,
            )
        }
    }

    /// Reads a value word by word.
    pub(super) fn load<const N: usize>(&self, index: usize) -> [u64; N] {
        let value = self.value(index);
        std::array::from_fn(|word| value[word].load(Ordering::Acquire))
    }

    /// Writes the words that differ, in order.
    pub(super) fn store(&self, index: usize, words: &[u64]) {
        for (target, word) in self.value(index).iter().zip(words) {
            if target.load(Ordering::Relaxed) != *word {
                target.store(*word, Ordering::Release);
            }
        }
    }
}

impl Drop for MappedArray {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no slice of it outlives `self`.
        let _ = unsafe { munmap(self.words.cast::<c_void>(), self.bytes.get()) };
    }
}
