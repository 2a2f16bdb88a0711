//! A list whose first `N` items need no allocation. Knows nothing of what it holds.
//!
//! Signing sorts headers and query parameters; ordinary requests have a handful, which fit beside the code's
//! own variables. Longer lists move to the heap as a whole and work the same.

/// Either all items are in `near`, or all are in `far` and `len` is zero.
pub(crate) struct Inline<T, const N: usize> {
    near: [T; N],
    len: usize,
    far: Vec<T>,
}

impl<T: Copy + Default, const N: usize> Inline<T, N> {
    pub(crate) fn new() -> Self {
        Self { near: [T::default(); N], len: 0, far: Vec::new() }
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.far.is_empty() {
            if let Some(slot) = self.near.get_mut(self.len) {
                *slot = item;
                self.len = self.len.saturating_add(1);
                return;
            }
            self.far.extend_from_slice(&self.near);
            self.len = 0;
        }
        self.far.push(item);
    }

    pub(crate) fn pop(&mut self) {
        if self.far.pop().is_none() {
            self.len = self.len.saturating_sub(1);
        }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        if self.far.is_empty() { self.near.get(..self.len).unwrap_or_default() } else { &self.far }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        if self.far.is_empty() { self.near.get_mut(..self.len).unwrap_or_default() } else { &mut self.far }
    }
}

#[cfg(test)]
mod tests {
    use super::Inline;

    #[test]
    fn behaves_like_a_vec_on_both_sides_of_its_capacity() {
        let mut list = Inline::<usize, 3>::new();
        let mut model = Vec::new();
        for step in 0..200_usize {
            if step % 7 < 4 {
                list.push(step);
                model.push(step);
            } else {
                list.pop();
                model.pop();
            }
            assert_eq!(list.as_slice(), model, "after step {step}");
        }
        for _ in 0..model.len() + 2 {
            list.pop();
            model.pop();
            assert_eq!(list.as_slice(), model);
        }
    }
}
