// Errors of results whose inputs are rounded to 8 bits on the way: measured against the size of the whole result, because a sum of many rounded terms that
// happens to be near zero is no more precise than its neighbours.
#pragma once

#include "../../tests/harness.h"

namespace longcat::cuda::test {

class RelativeError {
  public:
    // typical: root of mean squared difference over root of mean square; worst: largest difference over root of mean square.
    RelativeError(const char* label, double typical, double worst, const char* why) : label_(label), why_(why), typical_(typical), worst_(worst) {}
    ~RelativeError() {
        std::printf("%-32s %8zu values, at most %.2g of %.2g on average, %.2g of %.2g at one value (%s)\n", label_, values_, most_typical_, typical_, most_worst_,
                    worst_, why_);
    }
    void Add(const std::vector<float>& got, const std::vector<float>& want, const std::string& what) {
        EXPECT(got.size() == want.size(), "%s: %zu and %zu values", what.c_str(), got.size(), want.size());
        double squares = 0, errors = 0, largest = 0;
        bool numbers = true;
        for (size_t i = 0; i < got.size(); i++) {
            double error = std::fabs(static_cast<double>(got[i]) - want[i]);
            numbers = numbers && std::isfinite(error);
            squares += static_cast<double>(want[i]) * want[i], errors += error * error, largest = error > largest ? error : largest;
        }
        double size = std::sqrt(squares / static_cast<double>(got.empty() ? 1 : got.size()));
        double typical = size == 0 ? std::sqrt(errors) : std::sqrt(errors / squares), worst = size == 0 ? largest : largest / size;
        values_ += got.size();
        most_typical_ = typical > most_typical_ ? typical : most_typical_, most_worst_ = worst > most_worst_ ? worst : most_worst_;
        EXPECT(numbers && typical <= typical_ && worst <= worst_, "%s %s: %.3g on average, %.3g at one value%s", label_, what.c_str(), typical, worst,
               numbers ? "" : ", not all of them numbers");
    }

  private:
    const char* label_;
    const char* why_;
    double typical_, worst_, most_typical_ = 0, most_worst_ = 0;
    size_t values_ = 0;
};

}  // namespace longcat::cuda::test
