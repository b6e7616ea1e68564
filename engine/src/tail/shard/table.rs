//! A table that grows part by part: nothing in it is moved, so that growing holds up nobody.

/// Entries of a part.
const PART: usize = 1024;

#[derive(Debug)]
pub(super) struct Table<T> {
    /// All but the last are full.
    parts: Vec<Vec<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { parts: Vec::new() }
    }
}

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        let last = self.parts.last().map_or(PART, Vec::len);
        self.parts.len() * PART + last - PART
    }

    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&T> {
        self.parts.get(place as usize / PART)?.get(place as usize % PART)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.parts.get_mut(place as usize / PART)?.get_mut(place as usize % PART)
    }

    /// Returns its place.
    pub(super) fn push(&mut self, value: T) -> u32 {
        let place = self.len() as u32;
        match self.parts.last_mut().filter(|part| part.len() < PART) {
            Some(part) => part.push(value),
            None => {
                let mut part = Vec::with_capacity(PART);
                part.push(value);
                self.parts.push(part);
            }
        }
        place
    }

    /// Puts a value where one is free, else at the end.
    pub(super) fn put(&mut self, free: &mut Vec<u32>, value: T) -> u32 {
        let Some(place) = free.pop() else { return self.push(value) };
        if let Some(own) = self.get_mut(place) {
            *own = value;
        }
        place
    }

    /// Lets go of the end, as far as it is free.
    pub(super) fn trim(&mut self, is_free: impl Fn(&T) -> bool) {
        while let Some(part) = self.parts.last_mut() {
            let used = part.iter().rposition(|value| !is_free(value)).map_or(0, |last| last + 1);
            part.truncate(used);
            if 0 < used {
                break;
            }
            self.parts.pop();
        }
        self.parts.shrink_to_fit();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.parts.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_places_while_it_grows_and_is_trimmed() {
        let (mut table, mut free) = (Table::default(), Vec::new());
        let places = (0..3 * PART as u32 + 1).map(|value| table.put(&mut free, Some(value)));
        assert!(places.eq(0..3 * PART as u32 + 1));
        assert_eq!(table.len(), 3 * PART + 1);
        assert!(table.iter().flatten().copied().eq(0..3 * PART as u32 + 1));
        assert_eq!((table.get(2000), table.get(9999)), (Some(&Some(2000)), None));
        table.iter_mut().skip(PART + 5).for_each(|value| *value = None);
        table.trim(Option::is_none);
        assert_eq!(table.len(), PART + 5);
        free.extend([7, 8]);
        assert_eq!(
            [9, 9, 9].map(|value| table.put(&mut free, Some(value))),
            [8, 7, PART as u32 + 5]
        );
        table.iter_mut().for_each(|value| *value = None);
        table.trim(Option::is_none);
        assert_eq!((table.len(), table.push(None)), (0, 0));
    }
}
