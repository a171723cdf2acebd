//! The exports of a component.

/// Makes a [`Guest`](super::Guest) the component's policy.
#[macro_export]
macro_rules! component_entry {
    ($guest:ty) => {
        $crate::component::bindings::export!($guest);
    };
}
