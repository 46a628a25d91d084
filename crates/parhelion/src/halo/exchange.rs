//! [`Exchange`]: plans and a scheme with all they need, started and finished again and again.

use std::any::Any;

use parhelion_comm::{BackendKind, Communicator, Error, ErrorKind, Result};

use super::Plan;
use super::alike::alike;
use super::aside::Aside;
use super::in_place::InPlace;
use super::leg::{Arrival, Buffer, Field, Inner, Landing, first_buffers, legs};
use super::packed::{Messages, Straight};
use super::scheme::{Packing, Scheme, Settings};
use super::shared::Shared;

/// The plans of any number of fields and a scheme, with the requests, windows, staging memory and piece lists it needs:
/// all made once, at [`Exchange::new`], so that carrying it out allocates nothing.
///
/// What all arrays stand on, without their types: buffers are addresses, and most users want
/// [`DistArray::exchange`](crate::array::DistArray::exchange) or [`Patches`](super::Patches) instead.
///
/// It is idle, or started: [`start`](Exchange::start) in the first state leads to the second, [`finish`](Exchange::finish)
/// or [`abandon`](Exchange::abandon) back; anything else is an error and changes nothing. All ranks start their exchanges
/// of one communicator in one order.
pub struct Exchange {
    communicator: Communicator,
    settings: Settings,
    fields: Vec<Field>,
    buffers: usize,
    inner: Inner,
    carrier: Carrier,
    /// Whether its plans are adjoint ones.
    combines: bool,
    state: State,
}

/// What keeps the memory of an abandoned exchange.
pub(crate) type Keep = Box<dyn Any + Send>;

enum Carrier {
    Messages(Box<Messages>),
    InPlace(InPlace),
    Shared(Box<Shared>),
}

enum State {
    Idle,
    Started,
    /// Given up here, but not by its peers, who may still read what is kept, if anything is.
    Abandoned(Option<Keep>),
    /// It failed half-way, by this error if it is known; its peers may be anywhere.
    Broken(Option<Error>),
}

impl Exchange {
    /// Makes all that `fields` need to be exchanged by `settings`. Collective over `communicator`, with the same element
    /// types and settings on every rank; the plans are those of one call each. Its messages meet no others.
    ///
    /// # Errors
    /// [`Scheme::Auto`], which names no scheme to carry out; plans of another communicator; ranks that disagree, about types and
    /// settings where [checks](parhelion_comm::Config::checks) are on; what the backend reports.
    pub fn new(communicator: &Communicator, fields: Vec<Field>, settings: Settings) -> Result<Exchange> {
        let invalid = |text: String| Err(Error::new("exchange", ErrorKind::InvalidArgument(text)));
        for (i, field) in fields.iter().enumerate() {
            let (rank, size) = (field.plan.rank(), field.plan.size());
            if (rank, size) != (communicator.rank(), communicator.size()) {
                return invalid(format!(
                    "the plan of field {i} is for rank {rank} of {size}, the communicator is rank {} of {}",
                    communicator.rank(),
                    communicator.size()
                ));
            }
        }
        alike(communicator, || format!("an exchange of {} by {settings}", described(&fields)))?;
        let (sends, recvs) = (legs(&fields, Plan::sends), legs(&fields, Plan::recvs));
        let method = settings.scheme.method();
        // What is combined cannot be received in place, and only MPI has datatypes.
        let lands_in_place = !fields.iter().any(|f| f.plan.is_adjoint());
        let in_place = communicator.backend() == BackendKind::Mpi && lands_in_place;
        let carrier = match (settings.scheme, settings.packing) {
            (Scheme::Auto, _) => return invalid("scheme auto names no scheme; measure first".to_owned()),
            (Scheme::Shared, _) => Carrier::Shared(Box::new(Shared::new(communicator, &fields, sends, recvs)?)),
            (scheme, Packing::Datatype) if in_place && scheme.has_datatypes() => {
                Carrier::InPlace(InPlace::new(communicator, method, sends, recvs))
            }
            _ => {
                let straight = if lands_in_place { Straight::Both } else { Straight::Sends };
                Carrier::Messages(Box::new(Messages::new(communicator, method, straight, sends, recvs)?))
            }
        };
        let (_, buffers) = first_buffers(&fields);
        let inner = Inner::new(&fields);
        Ok(Exchange {
            communicator: communicator.clone(),
            settings,
            fields,
            buffers,
            inner,
            carrier,
            combines: !lands_in_place,
            state: State::Idle,
        })
    }
}

/// The elements of the fields, and which are of adjoint plans.
pub(super) fn described(fields: &[Field]) -> String {
    let one = |f: &Field| if f.plan.is_adjoint() { format!("{}, adjoint", f.element) } else { f.element.to_string() };
    match fields {
        [] => "nothing".to_owned(),
        fields => fields.iter().map(one).collect::<Vec<_>>().join(" with "),
    }
}

impl Exchange {
    /// How it is carried out.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// The fields it carries.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Buffers that [`start`](Exchange::start) takes: those of the first field by patch, then those of the second, ...
    pub fn buffers(&self) -> usize {
        self.buffers
    }

    /// Whether a start would not have to end anything.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether it has been started and neither finished nor abandoned.
    pub fn is_started(&self) -> bool {
        matches!(self.state, State::Started)
    }

    /// Starts it: what the plans send is on its way, or open to be read, when this returns. Does not wait for peers, but
    /// for the end of an exchange that was abandoned before, and the first time, where there are datatypes, for all ranks.
    ///
    /// # Errors
    /// It is started already, or has failed before; what the backend reports. It is then [broken](Exchange::is_broken).
    ///
    /// # Safety
    /// `buffers` are [`Exchange::buffers`] valid buffers of the lengths and element types of the fields, aligned, disjoint,
    /// with their own tokens. Until it has been finished without error, they stay where they are and alive; what the plans
    /// send is not written, what they receive is not used. If it is not finished: [`Exchange::abandon`].
    pub unsafe fn start(&mut self, buffers: &[Buffer]) -> Result<()> {
        self.make_idle()?;
        if buffers.len() != self.buffers {
            return Err(self.error("start_exchange", format!("{} buffers instead of {}", buffers.len(), self.buffers)));
        }
        // Until the end of this call: a panic on the way leaves it so.
        self.state = State::Broken(None);
        // SAFETY: the caller's promise.
        let started = unsafe {
            match &mut self.carrier {
                Carrier::Messages(messages) => messages.start(buffers),
                Carrier::InPlace(messages) => messages.start(buffers),
                Carrier::Shared(shared) => shared.start(buffers),
            }
        };
        self.end_call(started, State::Started)
    }

    /// Whether [`finish`](Exchange::finish) would not have to wait; makes progress. Does not block. Of adjoint plans it says
    /// whether all is there to be combined; that is read in the finishes of all ranks, so that each may wait for others' there.
    ///
    /// # Errors
    /// It is not started; a peer that is lost, where the backend can know; what else the backend reports, but never a timeout. It
    /// is then [broken](Exchange::is_broken).
    ///
    /// # Safety
    /// As [`Exchange::start`], with the same buffers, whose received elements it may write.
    pub unsafe fn test(&mut self, buffers: &[Buffer]) -> Result<bool> {
        self.check_started("test", buffers)?;
        // SAFETY: the caller's promise.
        let tested = unsafe {
            match &mut self.carrier {
                Carrier::Messages(messages) => messages.test(),
                Carrier::InPlace(messages) => messages.test(),
                Carrier::Shared(shared) if self.combines => shared.test_arrivals(),
                Carrier::Shared(shared) => shared.test(buffers, &self.inner),
            }
        };
        if let Err(error) = &tested {
            self.state = State::Broken(Some(error.clone()));
        }
        tested
    }

    /// Waits until all that this rank receives has landed and nobody reads its buffers any more.
    ///
    /// # Errors
    /// It is not started; a lost peer, a timeout, a deadlock. The last three leave it [broken](Exchange::is_broken). The error
    /// that broke it, if it is.
    ///
    /// # Safety
    /// As [`Exchange::start`], with the same buffers. The kernels of `landing`, if any, are one per field, of its element type.
    pub unsafe fn finish(&mut self, buffers: &[Buffer], landing: Landing<'_>) -> Result<()> {
        self.check_started("finish", buffers)?;
        if let Landing::Combine(kernels) = landing {
            if !self.combines {
                return Err(self.error("finish", "only exchanges of adjoint plans combine what arrives".to_owned()));
            }
            let fits = |(k, f): (&parhelion_comm::Kernel<'_>, &Field)| k.element() == f.element;
            if kernels.len() != self.fields.len() || !kernels.iter().zip(&self.fields).all(fits) {
                return Err(self.error("finish", "the kernels do not fit the fields' element types".to_owned()));
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.finish_by(buffers, landing.into()) }
    }

    /// The first half of a finish before it is known how to combine what arrives: waits for it, and keeps it in `aside` if it is
    /// to be combined. The peers' finishes wait for nothing here any more.
    ///
    /// # Errors
    /// As [`Exchange::finish`].
    ///
    /// # Safety
    /// As [`Exchange::finish`].
    pub(super) unsafe fn land_aside(&mut self, buffers: &[Buffer], aside: &Aside) -> Result<()> {
        self.check_started("finish", buffers)?;
        let arrival = self.arrival_at(aside);
        // By messages, a peer's finish waits for no more than the start here.
        let Carrier::Shared(shared) = &mut self.carrier else { return Ok(()) };
        self.state = State::Broken(None);
        // SAFETY: the caller's promise.
        let landed = unsafe { shared.land(buffers, &self.inner, arrival) };
        self.end_call(landed, State::Started)
    }

    /// The other half, with the same `aside`: nobody reads the buffers any more.
    ///
    /// # Errors
    /// As [`Exchange::finish`].
    ///
    /// # Safety
    /// As [`Exchange::finish`].
    pub(super) unsafe fn finish_aside(&mut self, buffers: &[Buffer], aside: &Aside) -> Result<()> {
        self.check_started("finish", buffers)?;
        // SAFETY: the caller's promise.
        unsafe { self.finish_by(buffers, self.arrival_at(aside)) }
    }

    fn arrival_at<'a>(&self, aside: &'a Aside) -> Arrival<'a> {
        if self.combines { Arrival::Keep(aside) } else { Arrival::Replace }
    }

    /// # Safety
    /// As [`Exchange::finish`].
    #[inline]
    unsafe fn finish_by(&mut self, buffers: &[Buffer], arrival: Arrival<'_>) -> Result<()> {
        self.state = State::Broken(None);
        // SAFETY: the caller's promise.
        let finished = unsafe {
            match &mut self.carrier {
                Carrier::Messages(messages) => messages.finish(buffers, &self.inner, arrival),
                Carrier::InPlace(messages) => messages.finish(buffers, &self.inner),
                Carrier::Shared(shared) => shared.finish(buffers, &self.inner, arrival),
            }
        };
        self.end_call(finished, State::Idle)
    }

    #[inline]
    fn end_call(&mut self, result: Result<()>, then: State) -> Result<()> {
        self.state = match &result {
            Ok(()) => then,
            Err(error) => State::Broken(Some(error.clone())),
        };
        result
    }

    /// Gives up an exchange that is started or broken, without waiting: peers get what they were to get, and `keep`, which
    /// owns the buffers, lives until no peer reads them and no message goes to them any more; where that cannot be known, for
    /// ever. An exchange that was not broken can be started again, which first waits for the end of this one.
    ///
    /// Does nothing to an idle exchange.
    pub fn abandon(&mut self, keep: Keep) {
        self.state = match (std::mem::replace(&mut self.state, State::Broken(None)), &mut self.carrier) {
            (State::Idle, _) => State::Idle,
            (State::Started, Carrier::Messages(messages)) => {
                State::Abandoned(if messages.uses_buffers() { Some(keep) } else { None })
            }
            (State::Started, Carrier::Shared(shared)) => {
                shared.abandon();
                State::Abandoned(Some(keep))
            }
            (State::Started, Carrier::InPlace(_)) => State::Abandoned(Some(keep)),
            (State::Abandoned(kept), _) => State::Abandoned(kept),
            (State::Broken(why), Carrier::Messages(messages)) => {
                messages.abandon(keep);
                State::Broken(why)
            }
            (State::Broken(why), Carrier::InPlace(messages)) => {
                messages.abandon(keep);
                State::Broken(why)
            }
            (State::Broken(why), Carrier::Shared(shared)) => {
                shared.abandon();
                if !shared.has_ended() {
                    std::mem::forget(keep);
                }
                State::Broken(why)
            }
        }
    }

    /// Whether it failed half-way. It cannot be used again; its buffers may still be read by peers: [`Exchange::abandon`].
    pub fn is_broken(&self) -> bool {
        matches!(self.state, State::Broken(_))
    }

    /// Whether dropping it lets go of all that it has; not where peers may still read what an exchange that was given up keeps.
    pub(super) fn can_be_dropped(&self) -> bool {
        match (&self.state, &self.carrier) {
            (State::Abandoned(_), Carrier::Shared(shared)) => shared.has_ended(),
            _ => true,
        }
    }

    /// Ends what stands in the way of a start. An error leaves all as it is: nothing has been started.
    #[inline]
    pub(super) fn make_idle(&mut self) -> Result<()> {
        match self.state {
            State::Idle => Ok(()),
            _ => self.end_former(),
        }
    }

    #[cold]
    fn end_former(&mut self) -> Result<()> {
        match &self.state {
            State::Idle => return Ok(()),
            State::Started => return Err(self.error("start_exchange", "it is started already; finish it first".into())),
            State::Broken(_) => return Err(self.refusal()),
            State::Abandoned(_) => {}
        }
        match &mut self.carrier {
            Carrier::Messages(messages) => messages.drain()?,
            Carrier::InPlace(messages) => messages.drain()?,
            Carrier::Shared(shared) => shared.drain()?,
        }
        self.state = State::Idle;
        Ok(())
    }

    /// What a start meets after it failed.
    #[cold]
    pub(super) fn refusal(&self) -> Error {
        let why = match &self.state {
            State::Broken(why) => why.as_ref(),
            _ => None,
        };
        self.error("start_exchange", out_of_step(why))
    }

    /// Breaks what is to be started next and cannot be: its ranks are out of step.
    #[cold]
    pub(super) fn break_off(&mut self, why: &Error) {
        if self.is_broken() {
            return;
        }
        if let State::Abandoned(Some(keep)) = std::mem::replace(&mut self.state, State::Broken(Some(why.clone()))) {
            self.abandon(keep);
        }
    }

    #[inline]
    fn check_started(&self, operation: &'static str, buffers: &[Buffer]) -> Result<()> {
        match &self.state {
            State::Started => {}
            State::Broken(Some(why)) => return Err(why.clone()),
            _ => return Err(self.error(operation, "it is not started".into())),
        }
        if buffers.len() != self.buffers {
            return Err(self.error(operation, format!("{} buffers instead of {}", buffers.len(), self.buffers)));
        }
        Ok(())
    }

    #[cold]
    fn error(&self, operation: &'static str, text: String) -> Error {
        misused(operation, &self.fields, self.settings, &text)
    }
}

/// What is wrong with the use of an exchange.
#[cold]
pub(super) fn misused(operation: &'static str, fields: &[Field], settings: Settings, text: &str) -> Error {
    let text = format!("exchange of {} field(s) by {settings}: {text}", fields.len());
    Error::new(operation, ErrorKind::InvalidArgument(text))
}

/// Why nothing can be exchanged any more.
pub(super) fn out_of_step(why: Option<&Error>) -> String {
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    format!(
        "an exchange of these arrays failed before{why}, so that its ranks are out of step; build the decomposition or the plan \
         anew on every rank"
    )
}

impl Drop for Exchange {
    fn drop(&mut self) {
        match (&mut self.state, &mut self.carrier) {
            (State::Abandoned(kept), carrier) => match (kept.take(), carrier) {
                (Some(keep), Carrier::InPlace(messages)) => messages.abandon(keep),
                (Some(keep), Carrier::Messages(messages)) => messages.abandon(keep),
                // A peer that has not come to its end may still read it, and nobody is left to look whether it has.
                (keep, Carrier::Shared(shared)) if !shared.has_ended() => std::mem::forget(keep),
                _ => {}
            },
            // The buffers are its caller's care; that this rank reads no peer's any more is still to be said.
            (State::Started | State::Broken(_), Carrier::Shared(shared)) => shared.abandon(),
            _ => {}
        }
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Idle => "idle",
            State::Started => "started",
            State::Abandoned(_) => "abandoned",
            State::Broken(_) => "broken",
        };
        let fields = self.fields.len();
        write!(f, "Exchange({fields} field(s), {}, {state}, {:?})", self.settings, self.communicator)
    }
}
