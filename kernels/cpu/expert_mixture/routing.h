// Selection and grouping, shared by all paths.
#pragma once

#include <cstdint>

#include "longcat/expert_mixture.h"

namespace longcat {

// What the router decided, grouped by expert. Pairs of expert e are [first[e], first[e + 1]), tokens ascending.
struct Routing {
    int32_t* first;   // [experts + 1]
    int32_t* token;   // [tokens · top_k]
    int32_t* place;   // [tokens · top_k]: of a token's choice, its pair; -1 for zero and skipped experts
    float* weight;    // [tokens · top_k]
    float* identity;  // [tokens]: summed weight of the zero experts
    float* scores;    // scratch [tokens · (experts + zero_experts)]: logits, then probabilities
    int32_t* chosen;  // scratch [tokens · top_k], ascending
    int32_t* cursor;  // scratch [experts]
    int64_t width;    // floats of a quarter of an adapter's ranks (adapters.h), 0 without adapters
    float* gate_ranks;  // scratch [tokens · top_k, 4, width]: x · A of gate, then of down
    float* up_ranks;    // the same of up
    float* squares;   // scratch [experts + zero_experts]: |router_e|², of the vectorised paths
};

size_t RoutingBytes(const ExpertMixtureArguments& arguments);
Routing PlaceRouting(const ExpertMixtureArguments& arguments, void* memory);

// Of one token: scores turns from logits to probabilities; chosen receives its top_k experts, ascending.
void SelectExperts(const ExpertMixtureArguments& arguments, float* scores, int32_t* chosen);
// How far a logit summed in float32 lies from the true one: √n u |x| |router_e| for the n additions that a product passes (the form is
// Higham and Mary's, A new approach to probabilistic rounding error analysis, 2019). Of rounding errors of random sign this is more than
// 100 standard deviations with 3072 random products, 11 where all products have one sign. x, router: the squares of the norms.
float LogitError(int64_t hidden, float x, float router);
// Whether logits that are wrong by `error` could change the choice, from the probabilities.
bool InDoubt(const ExpertMixtureArguments& arguments, const float* scores, const int32_t* chosen, float error);
// What a marked token leaves out: kept holds 0 for each of its top_k choices that is an expert, and gets -1 where it is skipped.
void SkipExperts(const ExpertMixtureArguments& arguments, const float* scores, const int32_t* chosen, int32_t* kept);
// kInvalidArgument: what does not fit. Of the skipping's own values (`betas`) only CheckSkipping reads any.
Status CheckMixture(const ExpertMixtureArguments& arguments);
Status CheckSkippingSizes(const ExpertMixtureArguments& arguments);
Status CheckSkipping(const ExpertMixtureArguments& arguments);
// From probabilities and choices to the lists of pairs and the identity weights.
void GroupByExpert(const ExpertMixtureArguments& arguments, const Routing& routing);
// The optional outputs, from the choices and the activation [pairs, intermediate].
void WriteChoices(const ExpertMixtureArguments& arguments, const Routing& routing, const float* activation, const ParallelFor& parallel);

}  // namespace longcat
