//! What customers do: look at a product, fill the cart, check out. Some of it is slow, some fails.

use super::call::{Call, Failure, client, query, server};
use super::random::Random;
use super::service::Service::{Cart, Catalog, Checkout, Frontend, Payment};

const DECLINED: Failure =
    Failure { type_: "CardDeclined", message: "card declined by the issuer: insufficient funds" };
const DEADLOCK: Failure =
    Failure { type_: "DeadlockDetected", message: "deadlock detected while updating orders" };
const UNREACHABLE: Failure =
    Failure { type_: "ConnectionTimeout", message: "no connection to the cart store within 1 s" };

/// One request of a customer, from the front end down.
pub(super) fn visit(random: &mut Random) -> Call {
    match random.between(0, 100) {
        0..60 => browse(random),
        60..85 => add_to_cart(random),
        _ => check_out(random),
    }
}

fn browse(random: &mut Random) -> Call {
    let slow = random.chance(3);
    let query_us = if slow { random.between(1_200_000, 2_500_000) } else { us(random, 2_000) };
    let statement = "SELECT id, name, price FROM products WHERE id = $1";
    let select = query(Catalog, "postgresql", ("SELECT", "products"), statement, query_us, None);
    let handled = server(Catalog, ("GET", "/products/{id}"), us(random, 900), None, vec![select]);
    let asked = client(Frontend, us(random, 300), handled);
    server(Frontend, ("GET", "/product/{id}"), us(random, 2_500), None, vec![asked])
}

fn add_to_cart(random: &mut Random) -> Call {
    let failure = random.chance(2).then_some(UNREACHABLE);
    let own_us = if failure.is_some() { 1_000_000 } else { us(random, 400) };
    let store = query(Cart, "redis", ("HSET", "cart"), "HSET cart:? item ?", own_us, failure);
    let handled = server(Cart, ("POST", "/cart/items"), us(random, 600), None, vec![store]);
    let asked = client(Frontend, us(random, 300), handled);
    server(Frontend, ("POST", "/cart"), us(random, 1_800), None, vec![asked])
}

fn check_out(random: &mut Random) -> Call {
    let read = query(Cart, "redis", ("HGETALL", "cart"), "HGETALL cart:?", us(random, 300), None);
    let cart = server(Cart, ("GET", "/cart"), us(random, 500), None, vec![read]);
    let mut steps = vec![client(Checkout, us(random, 300), cart)];
    let declined = random.chance(8).then_some(DECLINED);
    let pay = server(Payment, ("POST", "/charges"), us(random, 45_000), declined, Vec::new());
    steps.push(client(Checkout, us(random, 300), pay));
    if declined.is_none() {
        let failure = random.chance(1).then_some(DEADLOCK);
        let statement = "INSERT INTO orders (customer, total, currency) VALUES ($1, $2, $3)";
        let own_us = us(random, 3_000);
        let table = ("INSERT", "orders");
        steps.push(query(Checkout, "postgresql", table, statement, own_us, failure));
    }
    let handled = server(Checkout, ("POST", "/orders"), us(random, 2_000), None, steps);
    let asked = client(Frontend, us(random, 300), handled);
    server(Frontend, ("POST", "/checkout"), us(random, 3_500), None, vec![asked])
}

/// Around `typical` microseconds: from half of it to the double.
fn us(random: &mut Random, typical: u64) -> u64 {
    random.between(typical / 2, typical * 2)
}
