// A number of OpenMP threads for a scope.
#pragma once

#include <omp.h>

namespace fp4lab::mma_test {

/// One thread is right for many small products: waking others up takes longer than the product.
class Threads {
 public:
  explicit Threads(int n) : before_(omp_get_max_threads()) { omp_set_num_threads(n); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { omp_set_num_threads(before_); }

 private:
  int before_;
};

}  // namespace fp4lab::mma_test
