//! What of one file is under way: given to the intake, delivered, and on disk as delivered.
//!
//! A file never has more out than the window, so a killed agent repeats no more than that.

use super::checkpoint::Mark;
use std::collections::VecDeque;

/// What may be out for one file: as much as one batch holds, so that a full window fills a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowMax {
    pub items: u32,
    /// Of encoded records.
    pub bytes: u64,
}

#[derive(Debug)]
pub struct Window {
    max: WindowMax,
    /// Delivered up to here.
    delivered: Mark,
    flights: VecDeque<Flight>,
    /// Delivered, but a killed agent would not know.
    unsaved: Load,
    ticket_next: u64,
}

#[derive(Debug)]
struct Flight {
    ticket: u64,
    load: Load,
    /// Where the file is once this is delivered.
    mark: Mark,
    delivered: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub items: u32,
    pub bytes: u64,
}

/// What the end of a flight means for its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    Delivered,
    /// It and what followed must be read again from here.
    Again(Mark),
    /// It was given up before; nothing follows.
    Forgotten,
}

impl Window {
    pub fn new(mark: Mark, max: WindowMax) -> Self {
        assert!(0 < max.items && 0 < max.bytes, "a closed window would stop the file for ever");
        Self {
            max,
            delivered: mark,
            flights: VecDeque::new(),
            unsaved: Load::default(),
            ticket_next: 0,
        }
    }

    pub fn resize(&mut self, max: WindowMax) {
        self.max = max;
    }

    /// How many items may still leave; 0 when the window is full.
    pub fn room(&self) -> u32 {
        let out = self.out();
        if self.max.bytes <= out.bytes { 0 } else { self.max.items.saturating_sub(out.items) }
    }

    /// Whether writing the checkpoint would make room.
    pub fn waits_for_save(&self) -> bool {
        self.room() == 0 && self.unsaved != Load::default()
    }

    /// Nothing is out but what is saved.
    pub fn is_settled(&self) -> bool {
        self.out() == Load::default()
    }

    pub fn delivered(&self) -> Mark {
        self.delivered
    }

    /// A batch left; the file's reader is at `mark`. Returns the flight's ticket.
    pub fn depart(&mut self, load: Load, mark: Mark) -> u64 {
        let ticket = self.ticket_next;
        self.ticket_next += 1;
        self.flights.push_back(Flight { ticket, load, mark, delivered: false });
        ticket
    }

    /// A batch arrived for good, or was `lost` on the way.
    pub fn land(&mut self, ticket: u64, lost: bool) -> Landing {
        let Some(flight) = self.flights.iter_mut().find(|flight| flight.ticket == ticket) else {
            return Landing::Forgotten;
        };
        if lost {
            self.flights.clear();
            return Landing::Again(self.delivered);
        }
        flight.delivered = true;
        while let Some(first) = self.flights.front()
            && first.delivered
        {
            self.unsaved = self.unsaved.plus(first.load);
            self.delivered = first.mark;
            self.flights.pop_front();
        }
        Landing::Delivered
    }

    /// A part of the file without any record: nothing to deliver, yet not to be read again.
    pub fn pass_over(&mut self, mark: Mark) {
        match self.flights.back_mut() {
            Some(last) => last.mark = mark,
            None => self.delivered = mark,
        }
    }

    /// The file starts over: what is under way belongs to what it was before.
    pub fn restart(&mut self) {
        self.flights.clear();
        self.delivered = Mark::at(0);
    }

    /// [`Window::delivered`] is on disk.
    pub fn saved(&mut self) {
        self.unsaved = Load::default();
    }

    fn out(&self) -> Load {
        self.flights.iter().fold(self.unsaved, |sum, flight| sum.plus(flight.load))
    }
}

impl Load {
    fn plus(self, other: Self) -> Self {
        Self { items: self.items + other.items, bytes: self.bytes + other.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window::new(Mark::at(0), WindowMax { items: 10, bytes: 1000 })
    }

    fn load(items: u32) -> Load {
        Load { items, bytes: 10 * u64::from(items) }
    }

    #[test]
    fn the_mark_waits_for_the_oldest_flight() {
        let mut window = window();
        let first = window.depart(load(3), Mark::at(30));
        let second = window.depart(load(3), Mark::at(60));
        assert_eq!(window.land(second, false), Landing::Delivered);
        assert_eq!(window.delivered(), Mark::at(0));
        assert_eq!(window.land(first, false), Landing::Delivered);
        assert_eq!(window.delivered(), Mark::at(60));
    }

    #[test]
    fn what_is_delivered_but_not_saved_fills_the_window() {
        let mut window = window();
        let ticket = window.depart(load(10), Mark::at(100));
        assert!(!window.waits_for_save(), "nothing to save yet");
        window.land(ticket, false);
        assert_eq!((window.room(), window.waits_for_save()), (0, true));
        window.saved();
        assert_eq!((window.room(), window.is_settled()), (10, true));
    }

    #[test]
    fn bytes_close_the_window_too() {
        let mut window = window();
        window.depart(Load { items: 1, bytes: 1000 }, Mark::at(1000));
        assert_eq!(window.room(), 0);
    }

    #[test]
    fn a_lost_flight_takes_all_later_ones_with_it() {
        let mut window = window();
        let first = window.depart(load(1), Mark::at(10));
        let second = window.depart(load(1), Mark::at(20));
        let third = window.depart(load(1), Mark::at(30));
        window.land(first, false);
        assert_eq!(window.land(second, true), Landing::Again(Mark::at(10)));
        assert_eq!(window.land(third, false), Landing::Forgotten);
        let again = window.depart(load(2), Mark::at(30));
        assert_eq!(window.land(again, false), Landing::Delivered);
        assert_eq!(window.delivered(), Mark::at(30));
    }

    #[test]
    fn a_part_without_records_is_passed_over_after_what_stands_before_it() {
        let mut window = window();
        let first = window.depart(load(1), Mark::at(10));
        window.pass_over(Mark::at(15));
        assert_eq!(window.delivered(), Mark::at(0));
        window.land(first, false);
        assert_eq!(window.delivered(), Mark::at(15));
        window.pass_over(Mark::at(20));
        assert_eq!(window.delivered(), Mark::at(20));
    }
}
