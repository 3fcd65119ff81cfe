#include "base/tap.h"
#include "host/edge/edge_drops.h"

TEST(only_what_was_lost_lately_counts)
{
    struct edge_drops d = {0};
    edge_drops_note(&d, 7, 1000); /* before we looked: nobody knows when */
    IS_INT(edge_drops_lately(&d, 1000), 0);
    edge_drops_note(&d, 10, 61000);
    edge_drops_note(&d, 10, 121000);
    IS_INT(edge_drops_lately(&d, 121000), 3);
    edge_drops_note(&d, 2, 181000); /* another haproxy */
    IS_INT(edge_drops_lately(&d, 181000), 5);
    IS_INT(edge_drops_lately(&d, 61000 + EDGE_DROPS_MS), 2);
    IS_INT(edge_drops_lately(&d, 181000 + EDGE_DROPS_MS), 0);
}

TEST(many_losses_do_not_outgrow_it)
{
    struct edge_drops d = {0};
    for (int i = 0; i < 100; i++)
        edge_drops_note(&d, i, 1000 + i);
    IS_INT(edge_drops_lately(&d, 2000), EDGE_DROPS_KEPT);
}

TAP_MAIN()
