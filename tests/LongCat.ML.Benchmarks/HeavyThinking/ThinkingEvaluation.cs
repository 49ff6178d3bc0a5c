using LongCat.ML.Inference;
using LongCat.ML.Inference.Chat;
using LongCat.ML.Inference.HeavyThinking;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>Asks a trained model held-out questions in all ways. Trajectories of heavy thinking and answers that vote have the same seeds: where the first n are compared, they are the same answers.</summary>
internal sealed class ThinkingEvaluation(LongCatChatClient client, ThinkingPlan plan, int seed)
{
    public const string Single = "single, likeliest", Drawn = "single, drawn", Working = "heavy thinking", Results = "heavy thinking, results alone";

    private const int QuestionsAtOnce = 8;

    private int unanswered;

    /// <summary>How often heavy thinking came to no answer at all; what is counted for it is the first trajectories' tokens.</summary>
    public int Unanswered => unanswered;

    /// <summary>A client over an engine of so many threads.</summary>
    public static LongCatChatClient Open(string exported, int threads) => LongCatChatClient.Load(
        exported, new EngineOptions { Threads = threads, MaxSequences = 64 }, new LongCatChatClientOptions { Generation = new GenerationOptions { MaxNewTokens = 128 } });

    public static string Vote(int answers) => $"self-consistency @{answers}";

    public static string Heavy(string way, int width, int rounds) => $"{way} @{width}, {rounds} round{(rounds == 1 ? "" : "s")}";

    /// <summary>All ways over all questions.</summary>
    public async Task<IReadOnlyList<ThinkingOutcome>> RunAsync(IReadOnlyList<ArithmeticQuestion> questions)
    {
        using SemaphoreSlim places = new(QuestionsAtOnce);
        Dictionary<string, Reply>[] replies = await Task.WhenAll(questions.Select(async (question, index) =>
        {
            await places.WaitAsync().ConfigureAwait(false);
            try
            {
                return await AskAsync(question, index).ConfigureAwait(false);
            }
            finally
            {
                places.Release();
            }
        })).ConfigureAwait(false);
        return [.. replies[0].Keys.Select(way => new ThinkingOutcome(
            way, replies[0][way].Calls, [.. replies.Select(each => each[way].Right)], replies.Sum(each => each[way].Written), replies.Sum(each => each[way].Read)))];
    }

    private async Task<Dictionary<string, Reply>> AskAsync(ArithmeticQuestion question, int index)
    {
        Dictionary<string, Reply> replies = [];
        long first = (((long)(seed + 1000) << 32) + index) * plan.Samples;
        ChatResponse likeliest = await client.GetResponseAsync(question.Text).ConfigureAwait(false);
        replies[Single] = Of(question, likeliest.Text, 1, [likeliest]);
        ChatResponse[] drawn = await Task.WhenAll(Enumerable.Range(0, plan.Samples).Select(i => client.GetResponseAsync(question.Text, new ChatOptions { Temperature = 1, TopP = 1, Seed = first + i }))).ConfigureAwait(false);
        replies[Drawn] = Of(question, drawn[0].Text, 1, [drawn[0]]);
        for (int count = 2; count <= plan.Samples; count++)
        {
            replies[Vote(count)] = Of(question, Majority(drawn.Take(count)), count, drawn.Take(count));
        }

        foreach (int width in plan.Widths)
        {
            for (int rounds = 1; rounds <= plan.Rounds; rounds++)
            {
                replies[Heavy(Working, width, rounds)] = await HeavyAsync(question, width, rounds, first, ArithmeticQuestion.SummaryOfAnswers, drawn).ConfigureAwait(false);
            }

            replies[Heavy(Results, width, 1)] = await HeavyAsync(question, width, 1, first, ArithmeticQuestion.SummaryOfResults, drawn).ConfigureAwait(false);
        }

        return replies;
    }

    private async Task<Reply> HeavyAsync(
        ArithmeticQuestion question, int width, int rounds, long first, Func<string, IReadOnlyList<string>, string> prompt, ChatResponse[] drawn)
    {
        // The wrapper is not disposed: the client below it serves all questions.
        HeavyThinkingChatClient heavy = new(client, null, new HeavyThinkingOptions { Width = width, Rounds = rounds, Seed = first, Prompt = prompt });
        int calls = (width * rounds) + 1;
        ChatResponse response;
        try
        {
            response = await heavy.GetResponseAsync(question.Text).ConfigureAwait(false);
        }
        catch (InvalidOperationException)
        {
            // No candidate of a round came to an answer: nothing to summarize, and wrong.
            Interlocked.Increment(ref unanswered);
            return Of(question, "", calls, drawn.Take(width));
        }

        HeavyThinkingResult result = (HeavyThinkingResult)response.AdditionalProperties![HeavyThinkingResult.Key]!;

        // What the comparison rests on.
        if (result.Candidates.Where(candidate => candidate.Round == 1).Any(candidate => candidate.Answer != drawn[candidate.Index].Text.Trim()))
        {
            throw new InvalidOperationException($"the trajectories of '{question.Text}' are not the answers that were drawn with the same seeds");
        }

        return new Reply(ArithmeticQuestion.ResultOf(response.Text.Trim()) == question.Result, calls, response.Usage!.OutputTokenCount!.Value, response.Usage.InputTokenCount!.Value);
    }

    /// <summary>The answer whose result most have; of equally many the one that came first, which the seeds' order decides.</summary>
    private static string Majority(IEnumerable<ChatResponse> responses) =>
        responses.Select(response => response.Text.Trim()).Where(answer => ArithmeticQuestion.ResultOf(answer) is not null)
            .GroupBy(answer => ArithmeticQuestion.ResultOf(answer)).MaxBy(group => group.Count())?.First() ?? "";

    private static Reply Of(ArithmeticQuestion question, string answer, int calls, IEnumerable<ChatResponse> responses) => new(
        ArithmeticQuestion.ResultOf(answer.Trim()) == question.Result, calls, responses.Sum(response => response.Usage!.OutputTokenCount!.Value), responses.Sum(response => response.Usage!.InputTokenCount!.Value));

    private sealed record Reply(bool Right, int Calls, long Written, long Read);
}
