#include "paths.h"

namespace longcat {

void NGramIdsReference(const NGramEmbeddingArguments& p, int64_t* ids) {
    int history = p.neighbor_num - 1;
    for (int64_t s = 0; s < p.sequences; s++) {
        const int64_t* context = p.ngram_context + s * history;
        for (int64_t t = p.query_start[s]; t < p.query_start[s + 1]; t++) {
            int64_t before = t - p.query_start[s];  // tokens of this step that precede t in its sequence
            auto token_back = [&](int delta) { return delta <= before ? p.input_ids[t - delta] : context[history - (delta - before)]; };

            int reach = 0;  // how many predecessors lie in the same segment
            while (reach < history) {
                int64_t previous = token_back(reach + 1);
                if (previous < 0 || previous == p.eos_token_id) {
                    break;
                }
                reach++;
            }

            for (int order = 2; order <= p.neighbor_num; order++) {
                for (int split = 0; split < p.split_num; split++) {
                    int i = (order - 2) * p.split_num + split;
                    int64_t modulus = p.tables[i].modulus;
                    int64_t id = p.input_ids[t] % modulus;
                    int64_t power = 1;
                    for (int delta = 1; delta < order && delta <= reach; delta++) {
                        // Every factor is below 2^31, so the products and sums stay below 2^63.
                        power = power * (p.hash_vocab_size % modulus) % modulus;
                        id = (id + token_back(delta) % modulus * power) % modulus;
                    }
                    ids[i * p.tokens + t] = id;
                }
            }
        }
    }
}

}  // namespace longcat
