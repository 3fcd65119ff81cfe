// What things cost. Everything that changes a price passes through lineTotal.
export function lineTotal(product, quantity) {
    const full = product.price * quantity;
    return full;
}

export function money(cents) {
    return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`;
}
