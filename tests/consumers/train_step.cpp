#include "uses.h"

int main() { return failures(); }
