//! Routes and virtual hosts in the patches of an Istio `EnvoyFilter`. Istio merges each into those of the mesh that
//! its `match` names, so that such a route has metadata, and mostly no match of its own.

use std::path::Path;

use super::{
    document::Node,
    virtual_host::{Route, VirtualHost},
};

/// What the patches of a resource say of routes, in virtual hosts of their own.
pub fn hosts<'a>(resource: &'a Node, file: &'a Path) -> Vec<VirtualHost<'a>> {
    let patches = resource.at_path(&["spec", "config_patches"]).map(Node::elements).unwrap_or_default();
    patches.iter().flat_map(|patch| of_patch(patch, file)).collect()
}

fn of_patch<'a>(patch: &'a Node, file: &'a Path) -> Vec<VirtualHost<'a>> {
    let Some(value) = patch.at_path(&["patch", "value"]) else { return Vec::new() };
    let named = patch.at_path(&["match", "route_configuration", "vhost"]);
    match patch.text_of("apply_to") {
        "HTTP_ROUTE" => {
            let of_match = named.and_then(|host| host.at_path(&["route", "name"])).and_then(Node::text);
            let mut routes = Route::all(value);
            for route in &mut routes {
                if value.get("match").is_none() {
                    route.name = of_match.unwrap_or(route.name);
                    route.shown = match route.name {
                        "" => "routes that are patched".to_owned(),
                        name => format!("the route {name}"),
                    };
                }
            }
            let mut host = VirtualHost::of(value, None, file).bare();
            host.name = named.map_or("*", |host| host.text_of("name"));
            host.routes = routes;
            vec![host]
        }
        "VIRTUAL_HOST" => {
            let mut host = VirtualHost::of(value, None, file).with_a_route();
            if let Some(name) = named.map(|host| host.text_of("name")).filter(|name| !name.is_empty()) {
                host.name = name;
            }
            vec![host]
        }
        "ROUTE_CONFIGURATION" => VirtualHost::all(value, file),
        _ => Vec::new(),
    }
}
