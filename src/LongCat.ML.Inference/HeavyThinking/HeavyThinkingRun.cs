using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.HeavyThinking;

/// <summary>The rounds of one reply. Used by one caller; the calls of a round run side by side.</summary>
internal sealed class HeavyThinkingRun(
    IChatClient thinker, IChatClient summarizer, HeavyThinkingOptions heavy, List<ChatMessage> memory, ChatOptions? options, TokenLedger ledger)
{
    private readonly long? _seed = heavy.Seed ?? options?.Seed;
    private readonly Random _order = (heavy.Seed ?? options?.Seed) is { } seed ? new Random(HashCode(seed)) : new Random();
    private readonly List<HeavyThinkingCandidate> _candidates = [];
    private List<string> _answers = [];
    private int _calls;

    public IReadOnlyList<HeavyThinkingCandidate> Candidates => _candidates;

    /// <summary>Makes the candidates of all rounds.</summary>
    /// <returns>The one that enough trajectories agree with; null where a summary has to decide.</returns>
    public async Task<HeavyThinkingCandidate?> ThinkAsync(CancellationToken cancellationToken)
    {
        List<string> first = [];
        for (int round = 1; round <= heavy.Rounds; round++)
        {
            HeavyThinkingCandidate[] candidates = await RoundAsync(round, cancellationToken).ConfigureAwait(false);
            _candidates.AddRange(candidates);
            if (round == 1 && Agreement(candidates) is { } agreed)
            {
                return agreed;
            }

            List<string> answers = [.. candidates.Where(candidate => candidate.Answer.Length > 0).Select(candidate => candidate.Answer)];
            if (answers.Count == 0)
            {
                throw Nothing(round, candidates);
            }

            first = round == 1 ? answers : first;
            _answers = round > 1 && heavy.KeepFirstAnswers ? [.. answers, .. first] : answers;
        }

        return null;
    }

    /// <summary>The chat with the last round's answers, in an order of its own at every call.</summary>
    public List<ChatMessage> SummaryMessages()
    {
        string[] answers = [.. _answers];
        if (heavy.PermuteCandidates)
        {
            _order.Shuffle(answers);
        }

        return ChatMemory.ForSummary(memory, request => heavy.Prompt(request, answers));
    }

    /// <summary>The options of the last summary: the caller's, within the budget.</summary>
    public ChatOptions LastOptions(out int? reserved)
    {
        ChatOptions last = options?.Clone() ?? new ChatOptions();
        last.MaxOutputTokens = reserved = ledger.Reserve(last.MaxOutputTokens);
        return last;
    }

    private async Task<HeavyThinkingCandidate[]> RoundAsync(int round, CancellationToken cancellationToken)
    {
        using CancellationTokenSource others = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using SemaphoreSlim places = new(heavy.MaxParallelism == 0 ? heavy.Width : Math.Min(heavy.MaxParallelism, heavy.Width));
        HeavyThinkingCandidate?[] done = new HeavyThinkingCandidate?[heavy.Width];

        // Seeds, orders and shares are given out before the first call begins: which one ends first must not show in a seeded reply.
        (List<ChatMessage> Messages, ChatOptions Options, int? Reserved)[] plans =
            [.. Enumerable.Range(0, heavy.Width).Select(_ => (round == 1 ? memory : SummaryMessages(), Options(out int? reserved), reserved))];
        Task[] calls = [.. plans.Select((plan, index) => RunAsync(index, plan.Messages, plan.Options, plan.Reserved))];
        await Task.WhenAll(calls).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        return done!;

        async Task RunAsync(int index, List<ChatMessage> messages, ChatOptions call, int? reserved)
        {
            HeavyThinkingCandidate candidate = await CandidateAsync(round, index, messages, call, reserved, places, others.Token).ConfigureAwait(false);
            bool enough;
            lock (done)
            {
                done[index] = candidate;
                enough = round == 1 && Agreement(done) is not null;
            }

            if (enough)
            {
                await others.CancelAsync().ConfigureAwait(false);
            }
        }
    }

    private async Task<HeavyThinkingCandidate> CandidateAsync(
        int round, int index, List<ChatMessage> messages, ChatOptions call, int? reserved, SemaphoreSlim places, CancellationToken cancellationToken)
    {
        HeavyThinkingCandidate candidate = new() { Round = round, Index = index, Answer = "" };
        UsageDetails? usage = null;
        try
        {
            await places.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                ChatResponse response = await (round == 1 ? thinker : summarizer).GetResponseAsync(messages, call, cancellationToken).ConfigureAwait(false);
                usage = response.Usage;
                return candidate with { Answer = ChatMemory.Answer(response), Response = response };
            }
            finally
            {
                places.Release();
            }
        }
        catch (Exception error)
        {
            return candidate with { Error = error };
        }
        finally
        {
            ledger.Book(reserved, usage);
        }
    }

    /// <summary>Options of a candidate: sampled, each with a seed of its own, within the budget.</summary>
    private ChatOptions Options(out int? reserved)
    {
        ChatOptions call = options?.Clone() ?? new ChatOptions();
        call.Temperature = heavy.Temperature ?? call.Temperature;
        call.TopP = heavy.TopP ?? call.TopP;
        call.Seed = _seed + _calls++;
        call.MaxOutputTokens = reserved = ledger.Reserve(call.MaxOutputTokens);
        return call;
    }

    /// <summary>The first candidate of the largest group that is large enough; groups are of equal keys.</summary>
    private HeavyThinkingCandidate? Agreement(IEnumerable<HeavyThinkingCandidate?> candidates)
    {
        if (heavy.EarlyAgreement is not { } share)
        {
            return null;
        }

        int needed = Math.Max(1, (int)Math.Ceiling(share * heavy.Width - 1e-9));
        return candidates.OfType<HeavyThinkingCandidate>().Where(candidate => candidate.Answer.Length > 0)
            .GroupBy(candidate => heavy.AgreementKey(candidate.Answer))
            .Where(group => group.Key is not null && group.Count() >= needed)
            .OrderByDescending(group => group.Count()).FirstOrDefault()?.First();
    }

    private static Exception Nothing(int round, HeavyThinkingCandidate[] candidates)
    {
        Exception? error = candidates.Select(candidate => candidate.Error).FirstOrDefault(found => found is not null);
        return new InvalidOperationException(
            error is null
                ? $"none of the {candidates.Length} candidates of round {round} has an answer: their thoughts were cut off. Allow more tokens (ChatOptions.MaxOutputTokens, HeavyThinkingOptions.TokenBudget)."
                : $"none of the {candidates.Length} candidates of round {round} has an answer; the first that failed says: {error.Message}",
            error);
    }

    private static int HashCode(long seed) => unchecked((int)(seed ^ (seed >> 32)));
}
