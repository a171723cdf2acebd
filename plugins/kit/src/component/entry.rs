//! The exports of a component.

/// Makes a [`Guest`](super::Guest) the component's policy.
#[macro_export]
macro_rules! component_entry {
    ($guest:ident) => {
        $crate::component::bindings::export!($guest);
    };
}

/// Makes a [`message_filter::Guest`](super::message_filter::Guest) the component's policy.
#[macro_export]
macro_rules! message_component_entry {
    ($guest:ident) => {
        $crate::component::message_bindings::export!($guest);
    };
}
