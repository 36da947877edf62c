// The PHY model alone, for its test.
#include "phy.h"

extern "C" {
hw::Phy *phy_new() { return new hw::Phy; }
void phy_free(hw::Phy *phy) { delete phy; }
void phy_rise(hw::Phy *phy, uint64_t now, int bit) { phy->rise(now, bit); }
int phy_mdio(hw::Phy *phy, uint64_t now) { phy->settle(now); return phy->mdio; }
void phy_set_link(hw::Phy *phy, uint64_t now, int up, uint64_t autoneg) { phy->set_link(now, up, autoneg); }
}
