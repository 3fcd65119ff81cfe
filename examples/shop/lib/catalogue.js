// What the shop sells. Prices are in cents, so that sums stay exact.
export const products = [
    { id: 'green-tea', name: 'Green tea', price: 680, stock: 120 },
    { id: 'oolong', name: 'Oolong', price: 990, stock: 80 },
    { id: 'pu-erh', name: 'Pu-erh cake', price: 4200, stock: 12 },
    { id: 'teapot', name: 'Clay teapot', price: 8800, stock: 5 },
    { id: 'cup', name: 'Porcelain cup', price: 1500, stock: 64 },
];

export function productFind(id) {
    return products.find((product) => product.id === id) ?? null;
}
