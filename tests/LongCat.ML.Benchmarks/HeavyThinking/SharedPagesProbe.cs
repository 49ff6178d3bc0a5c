using LongCat.ML.Inference;
using LongCat.ML.Inference.Chat;
using LongCat.ML.Inference.HeavyThinking;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>Whether what trajectories have in common is stored once: pages in use, and prompt tokens computed, for a question behind a long chat.</summary>
internal static class SharedPagesProbe
{
    public static SharedPages Measure(string exported, int width, int turns, ThinkingPlan plan, int threads)
    {
        EngineOptions options = new() { Threads = threads, MaxSequences = 64 };
        using LongCatChatClient together = ThinkingEvaluation.Open(exported, threads);
        HeavyThinkingChatClient heavy = new(together, null, new HeavyThinkingOptions { Width = width, Seed = 1, Prompt = ArithmeticQuestion.SummaryOfAnswers });
        try
        {
            heavy.GetResponseAsync(Chat(turns, plan, seed: 1)).GetAwaiter().GetResult();
        }
        catch (InvalidOperationException)
        {
            // A model that has learned nothing (a quick run) comes to no answer; its trajectories share the chat all the same.
        }

        EngineStatistics shared = together.GetService<InferenceEngine>()!.Statistics;

        using LongCatChatClient alone = ThinkingEvaluation.Open(exported, threads);
        ChatResponse[] replies = Task.WhenAll(Enumerable.Range(0, width).Select(i => alone.GetResponseAsync(Chat(turns, plan, seed: 2 + i), new ChatOptions { Temperature = 1, Seed = i }))).GetAwaiter().GetResult();
        EngineStatistics apart = alone.GetService<InferenceEngine>()!.Statistics;
        return new SharedPages(
            width, (int)replies[0].Usage!.InputTokenCount!.Value, options.PageSize, shared.PeakPagesUsed, apart.PeakPagesUsed, shared.PrefillTokens, apart.PrefillTokens);
    }

    /// <summary>Questions with their answers, and one without.</summary>
    private static List<ChatMessage> Chat(int turns, ThinkingPlan plan, int seed)
    {
        List<ArithmeticQuestion> questions = ArithmeticQuestion.Make(turns + 1, plan.SumSteps, new Random(seed), new HashSet<string>(), unread: null);
        return
        [
            .. questions.Take(turns).SelectMany(question => new[] { new ChatMessage(ChatRole.User, question.Text), new ChatMessage(ChatRole.Assistant, question.Answer) }),
            new ChatMessage(ChatRole.User, questions[^1].Text),
        ];
    }
}
